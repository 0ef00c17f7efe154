"""Set the repository's address in every file that names it: `make address URL=…`.

The address stands in pyproject.toml, and in the other files that cannot look it up there. Besides
the repository itself they name what follows from it: the published book and links that open Colab.

As long as there is no address, what needs one stands in the README between `<!--address` and `-->`,
its links to files are relative, and the pages leave such links out (`_ext/repository.py`).
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import export

# What a repository's address looks like in the files; tools and tests hold none of their own.
FILES = ("pyproject.toml", "_config.yml", "CITATION.cff", "*.md", "book/**/*.md", "book/**/*.ipynb")
FORMS = ("github.com/{owner}/{repo}", "github/{owner}/{repo}", "{owner}.github.io/{repo}")


def parse(url: str) -> tuple[str, str]:
    """Owner and name of a repository on GitHub."""
    found = re.fullmatch(r"https://github\.com/([A-Za-z0-9-]+)/([\w.-]+?)(?:\.git)?/?", url)
    if not found:
        raise ValueError(f"URL must look like https://github.com/me/book, but got {url!r}")
    return found[1], found[2]


def files(root: Path) -> list[Path]:
    return sorted({path for pattern in FILES for path in root.glob(pattern)})


def replace(text: str, old: tuple[str, str], new: tuple[str, str]) -> str:
    """`text` with every form of the old address replaced by the new one."""
    for form in FORMS:
        before = re.escape(form.format(owner=old[0], repo=old[1]))
        after = form.format(owner=new[0], repo=new[1])
        # the name must end here: not OWNER/REPOSITORY; OWNER/REPO.git is the same repository
        text = re.sub(
            rf"(?<![\w-]){before}(?![\w-])(?!\.(?!git\b)\w)", lambda _, after=after: after, text
        )
    return text


def uncover(text: str) -> str:
    """`text` with what waited for an address in sight."""
    return re.sub(r"<!--address ?\n?(.*?)\n?-->", r"\1", text, flags=re.DOTALL)


def absolute(text: str, address: tuple[str, str]) -> str:
    """The README with links to files of the repository that also lead somewhere on the package index."""
    root = "https://github.com/{}/{}".format(*address)

    def link(found: re.Match) -> str:
        picture, words, file = found.groups()
        return f"{picture}[{words}]({root}/{'raw' if picture else 'blob'}/main/{file})"

    return re.sub(r"(!?)\[([^]]*)\]\((?!https?:|#)([^)\s]+)\)", link, text)


def main() -> int:
    try:
        new = parse(sys.argv[1] if len(sys.argv) > 1 else "")
    except ValueError as error:
        print(f"address: {error}", file=sys.stderr)
        return 1
    old = parse(export.repository())
    for path in files(export.ROOT):
        text = path.read_text(encoding="utf-8")
        changed = uncover(replace(text, old, new))
        if path.name == "README.md":
            changed = absolute(changed, new)
        if changed != text:
            path.write_text(changed, encoding="utf-8", newline="\n")
            print(f"changed {path.relative_to(export.ROOT)}")
    try:
        export.export()
    except export.ExportError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"The repository is {export.repository()}, the book {export.site(export.repository())}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
