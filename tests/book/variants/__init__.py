"""Answers to exercises: right ones that differ from the solution, and tempting wrong ones.

A file a chapter. A line `#: label right` or `#: label wrong: a word of the message` begins an
answer, whose code defines the function asked for.
"""

import re
from pathlib import Path

HEAD = re.compile(r"^#: (\S+) (right|wrong: .+)\n", re.M)

VARIANTS = {}  # label -> {"right": [code, …], "wrong": [(code, a word of the message), …]}
for _file in sorted(Path(__file__).parent.glob("*.txt")):
    _before, *_parts = HEAD.split(_file.read_text(encoding="utf-8"))
    assert not _before.strip(), f"{_file.name} must begin with a head"
    for _label, _kind, _code in zip(_parts[::3], _parts[1::3], _parts[2::3], strict=True):
        _found = VARIANTS.setdefault(_label, {"right": [], "wrong": []})
        if _kind == "right":
            _found["right"].append(_code)
        else:
            _found["wrong"].append((_code, _kind.removeprefix("wrong: ")))
