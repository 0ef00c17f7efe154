"""The ledger: every number that the book claims, collected from the pages that claim it.

`show.check` and `show.attempt` leave an entry in the executed cell (`fflib.show.markup.leave`),
which myst-nb takes out of the page and puts beside the executed notebook. This extension reads it
there, chapter by chapter, whether the chapter ran now or came from the cache, adds the recorded
full-scale results of `fflib/results`, and writes both as tables into the page that asks for them::

    ```{ledger} published      measured numbers beside published ones, in or out
    ```{ledger} records        what has been recorded
    ```{ledger} full           which chapters were run at full scale, and what does not hold there
    ```{ledger} runs           which chapter ran where, when, with which seeds
    ```{ledger} claims         every checked claim with what was measured, at full scale too

The same content lies beside the page as `<page>.json`, for `make check` and for other programs.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from docutils import nodes
from docutils.parsers.rst import directives
from myst_nb.sphinx_ import NbMetadataCollector
from sphinx.addnodes import pending_xref
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective

ENTRY = "application/vnd.fflib.entry+json"  # as in fflib.show.markup
PARTS = ("published", "records", "full", "runs", "claims")
CODE = re.compile(r"^```\{code-cell\}.*?^```", re.DOTALL | re.MULTILINE)
SEED = re.compile(r"\b(?:key|PRNGKey|default_rng|RandomState)\((\d+)\)")

Cell = str | nodes.Node


# --- What the pages left behind -------------------------------------------------------------------


def entries(kept: dict) -> list[dict]:
    """The entries in what myst-nb kept of a notebook, in the order in which they were made."""
    return [output["data"][ENTRY] for output in kept.values() if ENTRY in output.get("data", {})]


def seeds(source: str) -> list[int]:
    """The seeds that a chapter's code names."""
    return sorted({int(found) for cell in CODE.findall(source) for found in SEED.findall(cell)})


def spans(numbers: Sequence[int]) -> str:
    """Sorted whole numbers in short: "0–3, 7"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(
        f"{run[0]}–{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs
    )


def short(number: float, digits: int = 4) -> str:
    return f"{number:.{digits}g}".replace("-", "−")


def collect(app, doctree) -> None:
    """Keep what the page just read has left; no entry, no place in the ledger."""
    env = app.env
    env.ledger = getattr(env, "ledger", {})
    env.ledger.pop(env.docname, None)
    if not NbMetadataCollector.get_doc_data(env).get(env.docname, {}).get("glue"):
        return
    kept = Path(app.outdir).parent / "jupyter_execute" / f"{env.docname}.glue.json"
    found = entries(json.loads(kept.read_text(encoding="utf-8")))
    if not found:
        return
    run = NbMetadataCollector.get_exec_data(env, env.docname) or {}
    env.ledger[env.docname] = {
        "chapter": env.docname,
        "date": datetime.fromtimestamp(run.get("mtime") or 0, UTC).isoformat(timespec="seconds"),
        "seconds": run.get("runtime"),
        "seeds": seeds(Path(env.doc2path(env.docname)).read_text(encoding="utf-8")),
        "claims": [_without(e, "kind") for e in found if e["kind"] == "claim"],
        "attempts": [_without(e, "kind") for e in found if e["kind"] == "attempt"],
    }


def _without(entry: dict, *keys: str) -> dict:
    return {key: value for key, value in entry.items() if key not in keys}


def purge(app, env, docname: str) -> None:
    for kept in ("ledger", "ledger_pages"):
        getattr(env, kept, {}).pop(docname, None)


def merge(app, env, docnames, other) -> None:
    """Take over what another process has read."""
    for kept in ("ledger", "ledger_pages"):
        mine, theirs = getattr(env, kept, {}), getattr(other, kept, {})
        setattr(env, kept, mine | {name: theirs[name] for name in docnames if name in theirs})


def reading_order(env, root: str) -> Iterator[str]:
    yield root
    for child in env.toctree_includes.get(root, []):
        yield from reading_order(env, child)


def chapters(env) -> list[dict]:
    """What the chapters left, in reading order, each with its title and where it ran.

    Their results were made on this machine, with these versions: the cache's name has them.
    """
    kept = getattr(env, "ledger", {})
    order = dict.fromkeys([*reading_order(env, env.config.root_doc), *sorted(kept)])
    where = library().circumstances() if kept else {}
    return [
        kept[name] | where | {"title": env.titles[name].astext()} for name in order if name in kept
    ]


# --- Recorded results -----------------------------------------------------------------------------


def library():
    """`fflib.experiments.records` of this checkout, whose path `execution` has set by now."""
    from fflib.experiments import records

    return records


def spoken(name: str) -> str:
    return library().spoken(name)


def records(folder: Path | None = None) -> list[dict]:
    """Every recorded experiment in short: where it comes from, and its scores."""
    kept = library()
    folder = kept.FOLDER if folder is None else folder
    made = (kept.recorded(path.stem, folder) for path in sorted(folder.glob("*.json")))
    return [_summary(record) for record in made if record is not None]


def _summary(made: dict) -> dict:
    about = (
        "experiment",
        "scale",
        "device",
        "versions",
        "date",
        "wall_s",
        "seeds",
        "data_hash",
        "notes",
    )
    varied = [k for k in made["rows"][0] if k not in library().KEYS and k in made["settings"]]
    groups: dict[tuple, list[dict]] = {}
    for row in made["rows"]:
        name = ", ".join([row["mapping"], *(f"{key} {row[key]}" for key in varied)])
        groups.setdefault((name, row["metric"]), []).append(row)
    return {key: made[key] for key in about} | {
        "scores": [
            {"mapping": m, "metric": metric} | _score(rows) for (m, metric), rows in groups.items()
        ]
    }


def _score(rows: list[dict]) -> dict:
    """Mean and spread over the items, each the mean over its seeds."""
    items = dict.fromkeys(row["item"] for row in rows)
    means = [np.mean([row["value"] for row in rows if row["item"] == item]) for item in items]
    spread = float(np.std(means, ddof=1)) if len(means) > 1 else 0.0
    return {"mean": float(np.mean(means)), "spread": spread, "items": len(means)}


def beside_published(found: list[dict]) -> list[dict]:
    """The scores of Table 1 recorded at full scale with the published ones.

    In means: the two means differ by at most twice the standard error of their difference,
    2 √(s²/n + s′²/n′), the items of the two being different draws of the same kind.
    """
    rows = []
    for record in found:
        column = library().TABLE1.get(record["experiment"]) if record["scale"] == "full" else None
        for score in record["scores"]:
            if (
                column is None
                or score["metric"] != column.metric
                or score["mapping"] not in column.scores
            ):
                continue
            mean, spread = column.scores[score["mapping"]]
            tolerance = 2 * math.sqrt(
                spread**2 / column.items + score["spread"] ** 2 / score["items"]
            )
            rows.append(
                {
                    "experiment": record["experiment"],
                    **score,
                    "published": mean,
                    "published_spread": spread,
                    "tolerance": tolerance,
                    "in": abs(score["mean"] - mean) <= tolerance,
                }
            )
    return rows


def at_full_scale(found: list[dict], folder: Path) -> dict[str, dict]:
    """Chapter → what `make full` kept of it, in `folder`; only of those that it was run on."""
    files = {
        chapter["chapter"]: folder / f"{Path(chapter['chapter']).name}.json" for chapter in found
    }
    return {
        name: json.loads(path.read_text(encoding="utf-8"))
        for name, path in files.items()
        if path.is_file()
    }


def content(env) -> dict:
    """The whole ledger."""
    found, here = records(), chapters(env)
    full = at_full_scale(here, Path(env.srcdir, "book", "full_scale"))
    return {"chapters": here, "records": found, "published": beside_published(found), "full": full}


# --- The page -------------------------------------------------------------------------------------


class LedgerPlace(nodes.General, nodes.Element):
    """Where a part of the ledger will stand, once every chapter has been read."""


class Ledger(SphinxDirective):
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        part = directives.choice(self.arguments[0], PARTS)
        pages = getattr(self.env, "ledger_pages", {}) | {self.env.docname: True}
        self.env.ledger_pages = pages
        return [LedgerPlace(part=part)]


def rewrite(app, env) -> list[str]:
    """The pages that hold the ledger are written anew by every build."""
    return list(getattr(env, "ledger_pages", {}))


class Fill(SphinxPostTransform):
    """Replaces each place by its tables, before references are resolved."""

    default_priority = 8

    def run(self, **kwargs) -> None:
        places = list(self.document.findall(LedgerPlace))
        if not places:
            return
        book = content(self.env)
        for place in places:
            page = Page(self.env.docname)
            place.replace_self(getattr(page, place["part"])(book))


class Page:
    """The parts of the ledger as tables of the page `docname`."""

    def __init__(self, docname: str):
        self.docname = docname

    def published(self, book: dict) -> list[nodes.Node]:
        parts = [self.compared(book["chapters"])]
        rows = [
            (
                spoken(row["experiment"]), spoken(row["mapping"]),
                f"{short(row['published'])} ± {short(row['published_spread'])}",
                f"{short(row['mean'])} ± {short(row['spread'], 2)}", str(row["items"]),
                short(row["tolerance"], 2), "in" if row["in"] else "out",
            )
            for row in book["published"]
        ]  # fmt: skip
        columns = ("Experiment", "Mapping", "Published", "Ours", "Items", "Tolerance", "In or out")
        if rows:
            parts.append(table("Table 1 of the paper, at full scale", columns, rows))
        missing = sorted(set(library().TABLE1) - {row["experiment"] for row in book["published"]})
        if missing:
            said = "Columns of the paper's Table 1 not recorded at full scale yet: "
            parts.append(nodes.paragraph(text=f"{said}{'; '.join(map(spoken, missing))}."))
        return [part for part in parts if part is not None]

    def compared(self, found: list[dict]) -> nodes.Node | None:
        """Claims about one number that give the published or predicted one beside it."""
        rows = [
            (
                claim["claim"], self.link(chapter), short(claim["published"]),
                short(claim["value"]), short(claim["tolerance"], 2),
                "in" if abs(claim["value"] - claim["published"]) <= claim["tolerance"] else "out",
            )
            for chapter in found
            for claim in chapter["claims"]
            if "published" in claim
        ]  # fmt: skip
        columns = ("Claim", "Chapter", "Published or predicted", "Ours", "Tolerance", "In or out")
        return table("Numbers measured by the chapters", columns, rows) if rows else None

    def records(self, book: dict) -> list[nodes.Node]:
        parts: list[nodes.Node] = []
        for record in book["records"]:
            rows = [
                (
                    spoken(s["mapping"]),
                    spoken(s["metric"]),
                    short(s["mean"]),
                    short(s["spread"], 2) if s["items"] > 1 else "–",
                    str(s["items"]),
                )
                for s in record["scores"]
            ]
            columns = ("Mapping", "Measure", "Mean", "Spread", "Items")
            name, size = spoken(record["experiment"]), record["scale"]
            title = name if size in name else f"{name}, {size} scale"
            parts.append(table(title, columns, rows, record["experiment"]))
            versions = ", ".join(
                f"{name} {version}" for name, version in record["versions"].items()
            )
            said = (
                f"{record['date'][:10]}, {record['wall_s']:.0f} s on {record['device']}; "
                f"{versions}; seeds {spans(record['seeds'])}. "
                f"{record['notes'][:1].upper()}{record['notes'][1:]}"
            )
            parts.append(nodes.paragraph(text=said))
        return parts or [nodes.paragraph(text="Nothing has been recorded yet.")]

    def runs(self, book: dict) -> list[nodes.Node]:
        machines: dict[tuple, int] = {}
        for chapter in book["chapters"]:
            versions = ", ".join(f"{n} {v}" for n, v in chapter.get("versions", {}).items())
            where = chapter.get("device", ""), versions, chapter.get("scale", "")
            machines[where] = machines.get(where, 0) + 1
        rows = [(*where, str(count)) for where, count in machines.items()]
        columns = ("Device", "Versions", "Scale", "Chapters")
        where = table("Where the chapters of this book ran", columns, rows)
        rows = [
            (
                self.link(chapter), self.count(chapter), spans(chapter["seeds"]),
                chapter["date"].replace("T", " ")[:16], f"{chapter['seconds'] or 0:.0f}",
            )
            for chapter in book["chapters"]
        ]  # fmt: skip
        columns = ("Chapter", "Claims", "Seeds named", "Executed (UTC)", "Seconds")
        when = table("When they ran, and with which seeds", columns, rows)
        same = nodes.reference("", "as data", refuri=f"{Path(self.docname).name}.json")
        said = nodes.paragraph("", "", nodes.Text("This page "), same, nodes.Text("."))
        return [where, when, said]

    def full(self, book: dict) -> list[nodes.Node]:
        rows, fallen = [], []
        for chapter in book["chapters"]:
            run = book["full"].get(chapter["chapter"])
            if run is None:
                continue
            lost = [
                (claim["claim"], self.link(chapter), claim["detail"])
                for claim in run["claims"]
                if not claim["held"]
            ]
            fallen += lost
            rows.append(
                (
                    self.link(chapter), f"{len(run['claims']) - len(lost)} of {len(run['claims'])}",
                    run["device"], f"jax {run['versions']['jax']}", run["date"][:10],
                    f"{run['seconds'] / 60:.1f}", run["commit"],
                )
            )  # fmt: skip
        if not rows:
            return [nodes.paragraph(text="No chapter has been run at full scale yet.")]
        columns = ("Chapter", "Claims that hold", "Device", "Version", "Date", "Minutes", "Commit")
        parts: list[nodes.Node] = [table("Chapters run at full scale", columns, rows)]
        if fallen:
            parts.append(
                table(
                    "Claims that do not hold at full scale",
                    ("Claim", "Chapter", "Measured there"),
                    fallen,
                )
            )
        absent = [
            chapter
            for chapter in book["chapters"]
            if chapter["claims"] and chapter["chapter"] not in book["full"]
        ]
        if absent:
            said = nodes.paragraph("", "", nodes.Text("Not run at full scale yet: "))
            for k, chapter in enumerate(absent):
                said += [nodes.Text(", ")] * bool(k) + [self.link(chapter)]
            said += nodes.Text(".")
            parts.append(said)
        return parts

    def claims(self, book: dict) -> list[nodes.Node]:
        parts = []
        for chapter in book["chapters"]:
            run = book["full"].get(chapter["chapter"])
            there = (
                {} if run is None else {claim["claim"]: outcome(claim) for claim in run["claims"]}
            )
            columns = ("Claim", "Measured", *["At full scale"] * bool(there))
            rows = [
                (claim["claim"], outcome(claim), *[there.get(claim["claim"], "")] * bool(there))
                for claim in chapter["claims"]
            ]
            if rows:
                parts.append(
                    table(f"{chapter['title']} ({len(rows)})", columns, rows, chapter["chapter"])
                )
        return parts

    def count(self, chapter: dict) -> Cell:
        """How many claims, leading to them."""
        number = str(len(chapter["claims"]))
        anchor = f"ledger-{nodes.make_id(chapter['chapter'])}"
        return (
            nodes.reference("", number, refid=anchor, internal=True)
            if chapter["claims"]
            else number
        )

    def link(self, chapter: dict) -> nodes.Node:
        link = pending_xref(
            refdoc=self.docname, reftarget=f"/{chapter['chapter']}", reftype="doc", refdomain="std",
            refexplicit=True, refwarn=True, classes=["xref", "doc"],
        )  # fmt: skip
        link += nodes.inline(text=chapter["title"])
        return link


def outcome(claim: dict) -> nodes.raw:
    """What was measured for a claim; of a page's own claims all hold."""
    from fflib.show.markup import typeset

    said = claim["detail"] or "holds"
    if not claim.get("held", True):
        said = f"does not hold: {claim['detail'] or 'nothing more told'}"
    return nodes.raw("", typeset(said), format="html")


def table(
    caption: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]], name: str = ""
) -> nodes.table:
    """A table; its anchor is `ledger-` and its `name`, or else its caption."""
    ids = [f"ledger-{nodes.make_id(name or caption)}"]
    made = nodes.table("", nodes.title(text=caption), ids=ids, classes=["colwidths-auto", "ledger"])
    group = nodes.tgroup(cols=len(columns))
    made += group
    group.extend(nodes.colspec(colwidth=1) for _ in columns)
    group.extend([nodes.thead("", _row(columns)), nodes.tbody("", *map(_row, rows))])
    return made


def _row(cells: Sequence[Cell]) -> nodes.row:
    content = (nodes.Text(cell) if isinstance(cell, str) else cell for cell in cells)
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", cell)) for cell in content))


# --- Sphinx ---------------------------------------------------------------------------------------


def write_data(app, exception) -> None:
    """The ledger as data, beside its page."""
    pages = getattr(app.env, "ledger_pages", {}) if app.builder.format == "html" else {}
    if exception is None and pages:
        text = json.dumps(content(app.env), indent=1, ensure_ascii=False) + "\n"
        for docname in pages:
            Path(app.outdir, f"{docname}.json").write_text(text, encoding="utf-8")


def setup(app) -> dict:
    app.add_node(LedgerPlace)
    app.add_directive("ledger", Ledger)
    app.add_post_transform(Fill)
    app.connect("doctree-read", collect)
    app.connect("env-purge-doc", purge)
    app.connect("env-merge-info", merge)
    app.connect("env-updated", rewrite)
    app.connect("build-finished", write_data)
    return {"env_version": 1, "parallel_read_safe": True, "parallel_write_safe": True}
