"""Keep how long each chapter ran, for the line under its title: python tools/seconds.py

Reads the ledger of the book just built (`make book`, on two idle cores) and writes
`book/seconds.json`, to be committed.
"""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    ledger = ROOT / "_build" / "html" / "book" / "reference" / "ledger.json"
    chapters = json.loads(ledger.read_text(encoding="utf-8"))["chapters"]
    seconds = {chapter["chapter"]: round(chapter["seconds"] or 0) for chapter in chapters}
    target = ROOT / "book" / "seconds.json"
    target.write_text(json.dumps(seconds, indent=1) + "\n", encoding="utf-8")
    print(f"{target}: {len(seconds)} chapters, {sum(seconds.values())} s")


if __name__ == "__main__":
    main()
