"""The modules of the library, in all its rooms."""

import pkgutil

import fflib


def library_modules() -> list[str]:
    """Dotted names, ``fflib`` first; what begins with an underscore is left out."""
    found = pkgutil.walk_packages(fflib.__path__, "fflib.")
    return ["fflib", *(module.name for module in found if "._" not in module.name)]
