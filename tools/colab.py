"""Every notebook as Colab would run it: its Python packages, the wheel of fflib, an empty folder.

    python tools/colab.py PYTHON WHEEL [NOTEBOOK ...]

PYTHON is an interpreter with the packages of `colab.txt` and nothing of ours; the wheel goes into
it as the notebooks' first cell would put it there. Fails when that would replace a package that is
there,
when a cell raises, or when an output would be empty in a notebook: a figure without its picture, a
slider or a guess without its control. At the end every slider goes to both of its ends, to a value
between two frames and, where numbers can be typed, to -1, which is drawn or refused with the reason
and the last picture kept. That is in the kernel, without a browser (`live.py` has one); prints how
long the moves took and the reasons.
"""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ADDED = ("libigl", "trimesh", "mrcfile")  # of the extras, which Colab does not have

# Runs as the last cell of every notebook, whose names it leaves alone: seconds of each slider's
# moves.
MOVE = """
def _move_every_slider():
    import gc, time
    from fflib.show.slider_widget import LiveSlider

    def between(values):
        low, high = values[:2]
        middle = (low + high) / 2
        return int(middle) if isinstance(low, int) and isinstance(high, int) else middle

    def move(live):
        seconds, values = [], live.slider.values
        ends = [value for value in (values[0], values[-1]) if value != live.value]
        for value in [*ends, *([between(values)] if live.entry is not None else [])]:
            start = time.perf_counter()
            live.choose(value)
            if live.message.value:
                raise RuntimeError(f"{live.slider.label} = {value}: {live.message.value}")
            seconds.append(round(time.perf_counter() - start, 2))
        return live.slider.label, seconds, refuse(live) if live.entry is not None else ""

    def refuse(live):
        before = live.picture.value
        live.choose(-1)
        if live.message.value and live.picture.value != before:
            raise RuntimeError(f"{live.slider.label} = -1 took the last picture away")
        return live.message.value

    return [move(live) for live in gc.get_objects() if type(live) is LiveSlider]

print(__import__("json").dumps(_move_every_slider()))
"""


def install(python: str, wheel: str) -> None:
    """Install the wheel; nothing that is there may be replaced, and only ADDED may be brought.

    Raises:
        RuntimeError: if installing would bring or replace another package.
    """
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "-q"]
    wheel += "[meshes,volumes]"
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        subprocess.run(
            [*pip, "--dry-run", "--report", report, wheel], check=True, capture_output=True
        )
        brought = [item["metadata"]["name"] for item in json.loads(report.read_text())["install"]]
    if other := sorted(set(brought) - {"fourier-features-hands-on", *ADDED}):
        raise RuntimeError(f"installing fflib would also install {other}")
    subprocess.run([*pip, wheel], check=True, capture_output=True)


def execute(python: str, notebook: Path, folder: Path):
    """The notebook with its outputs, after it ran in `folder`."""
    import nbformat
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from nbclient import NotebookClient

    argv = [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]

    class Only(KernelSpecManager):
        """Whatever kernel a notebook names, it gets this Python."""

        def get_kernel_spec(self, kernel_name):
            return KernelSpec(argv=argv, display_name="Colab", language="python")

    read = nbformat.read(notebook, as_version=4)
    read.cells.append(nbformat.v4.new_code_cell(MOVE))
    client = NotebookClient(read, timeout=600, resources={"metadata": {"path": str(folder)}})
    client.create_kernel_manager()
    client.km.kernel_spec_manager = Only()
    client.execute()
    return read


def empty(cells: list) -> list[str]:
    """Outputs with nothing to see in them."""
    found = []
    for number, cell in enumerate(cells):
        for output in cell.get("outputs", []):
            bundle = output.get("data", {})
            page = "".join(bundle.get("text/html", ""))
            if (
                "application/vnd.jupyter.widget-view+json" in bundle
                or "text" in output
                or "text/plain" in bundle
            ):
                continue
            if not page.strip():
                found.append(f"cell {number}: {sorted(bundle) or output['output_type']}")
    return found


def main(python: str, wheel: str, *names: str) -> str:
    install(python, wheel)
    os.environ.update(PYTHONPATH="", FFLIB_SCALE="quick", PYDEVD_DISABLE_FILE_VALIDATION="1")
    os.environ.pop("FFLIB_STATIC", None)
    notebooks = [Path(name) for name in names] or sorted((ROOT / "book").rglob("*.ipynb"))
    widgets, slowest = 0, 0.0
    for notebook in notebooks:
        with tempfile.TemporaryDirectory() as folder:
            *cells, last = execute(python, notebook, Path(folder)).cells
            if left := sorted(path.name for path in Path(folder).iterdir()):
                raise RuntimeError(f"{notebook.name} left {left} in the reader's folder")
        said = "".join(output.get("text", "") for output in cells[0].outputs)
        if not said.startswith("jax ") or "scale: quick" not in said:
            raise RuntimeError(f"{notebook.name}: its first cell said {said!r}")
        if nothing := empty(cells):
            raise RuntimeError(f"{notebook.name}: nothing to see in {nothing}")
        sources = [cell.source for cell in cells if cell.cell_type == "code"]
        wanted = sum("show.slider(" in source for source in sources) > 0
        wanted += sum(len(re.findall(r"show\.guess\w*\(", source)) for source in sources)
        views = sum(
            "application/vnd.jupyter.widget-view+json" in output.get("data", {})
            for cell in cells
            for output in cell.get("outputs", [])
        )
        if views < wanted:
            raise RuntimeError(
                f"{notebook.name} has sliders and guesses, but {views} widgets were shown"
            )
        widgets += views
        moved = json.loads("".join(output.get("text", "") for output in last.outputs))
        said = "; ".join(f"{label} {', '.join(map(str, seconds))} s" for label, seconds, _ in moved)
        print(f"    {notebook.name}: {views} widgets; {said or 'no sliders'}", flush=True)
        for why in filter(None, (why for *_, why in moved)):
            print(f"        {html.unescape(re.sub('<[^>]*>', '', why))}", flush=True)
        slowest = max([slowest, *(second for _, seconds, _ in moved for second in seconds)])
    return f"{len(notebooks)} notebooks ran on Colab's versions, {widgets} widgets, the slowest slider {slowest:.1f} s"


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    print(main(*sys.argv[1:]))
