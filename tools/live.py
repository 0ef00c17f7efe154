"""Notebooks in a real JupyterLab: run, then touch every slider and answer a guess of each kind.

    python tools/live.py JUPYTER NOTEBOOK ...

JUPYTER is the `jupyter` of an environment with jupyterlab and fflib; this Python brings playwright.
For each slider the picture below it is photographed, the slider moved, and the picture awaited; it
has to be another one, and be whole: no message beside it, no error on the browser's console. Prints
how long each recomputation took. Then -1 is typed where a number can be, and has to be drawn or
refused with a reason, the last picture kept. No formula may be left that is not typeset. Guesses
are answered with the keyboard alone, after all has run; the measurement further down has to say
what the guess was worth.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "tests"))

from pages import launch
from playwright.sync_api import Error, sync_playwright

RUN_S, DRAW_S = 900, 60  # a notebook may take so long, a picture so long
BEGIN_TRIES = 5
BEGUN = """() => [...document.querySelectorAll(".jp-CodeCell .jp-InputPrompt")]
    .some((prompt) => /\\[[*\\d]+\\]/.test(prompt.textContent))"""
ENDED = """() => {
  if (document.querySelector("[data-mime-type='application/vnd.jupyter.error']")) return true;
  const prompts = [...document.querySelectorAll(".jp-CodeCell .jp-InputPrompt")].map(e => e.textContent);
  const status = document.querySelector(".jp-Notebook-ExecutionIndicator")?.dataset.status;
  const rests = status === "idle" && document.querySelector(".jp-OutputArea-output")
      && prompts.every(text => !text || /\\[\\d+\\]/.test(text));
  window.rested = rests ? (window.rested ?? 0) + 1 : 0;
  return window.rested >= 3;
}"""  # a cell raised; or the kernel has rested a while and every cell has its number (folded ones show none)
SETTINGS = {
    "@jupyterlab/notebook-extension:tracker": {
        "windowingMode": "none"
    },  # all cells are in the page
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
}


@contextmanager
def lab(jupyter: str, folder: Path):
    """A JupyterLab that serves `folder`; gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = Path(jupyter).parent.parent / "share/jupyter/lab/settings/overrides.json"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(json.dumps(SETTINGS))
    quiet = (
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        "--ServerApp.token=",
        "--LabApp.news_url=",
    )
    quiet += ("--ServerApp.disable_check_xsrf=True",)  # kernels are ended by plain requests
    log = (folder / ".lab.log").open("w")
    environment = {name: value for name, value in os.environ.items() if name != "FFLIB_STATIC"}
    command = [jupyter, "lab", *quiet, f"--port={port}"]
    server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=environment)
    try:
        address = f"http://127.0.0.1:{port}"
        for _ in range(120):
            try:
                urllib.request.urlopen(f"{address}/api").close()
                break
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.5)
        else:
            raise RuntimeError(
                f"JupyterLab did not start: {(folder / '.lab.log').read_text()[-2000:]}"
            )
        yield address
    finally:
        server.terminate()
        server.wait()


def run(tab, address: str, name: str) -> float:
    """Open a notebook, run every cell, wait until the last has run; seconds that took."""
    tab.goto(f"{address}/lab/tree/{name}?reset")
    tab.wait_for_selector(
        ".jp-Notebook-ExecutionIndicator[data-status=idle]", state="attached", timeout=120_000
    )
    for _ in range(BEGIN_TRIES):
        tab.wait_for_timeout(3000)  # whoever is quicker than the kernel is asked which one to take
        if (dialog := tab.locator(".jp-Dialog .jp-mod-accept")).count():
            dialog.first.click()
        tab.click("text=Run >> nth=0")
        tab.click("text=Run All Cells")
        start = time.perf_counter()
        try:
            tab.wait_for_function(BEGUN, timeout=10_000)
            break
        except Error:  # on a busy machine the menu is there before what it starts
            continue
    else:
        raise RuntimeError(f"{name} did not begin to run, asked {BEGIN_TRIES} times")
    try:
        tab.wait_for_function(ENDED, timeout=1000 * RUN_S, polling=1000)
    except Error as error:
        raise RuntimeError(f"{name} had not ended after {RUN_S} s") from error
    if (raised := tab.locator("[data-mime-type='application/vnd.jupyter.error']")).count():
        raise RuntimeError(f"{name}: a cell raised {raised.first.inner_text()[-500:]}")
    return time.perf_counter() - start


def settle(tab) -> None:
    """Wait until the kernel has rested for a second: every key pressed asks for a picture of its
    own.
    """
    rested = 0
    while rested < 5:
        tab.wait_for_timeout(200)
        rested = (
            rested + 1
            if tab.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").count()
            else 0
        )


def move(tab, box, touch) -> float:
    """Seconds until the picture of the slider `box` had changed after `touch()`.

    Raises:
        RuntimeError: if it did not, or a message says why not.
    """
    settle(tab)
    picture = box.locator(".widget-html").last
    before, drawn = picture.screenshot(), picture.inner_html()
    start = time.perf_counter()
    touch()
    while picture.inner_html() == drawn:
        said = box.locator("[role=status]").all_inner_texts()
        if any("No picture" in text for text in said):
            raise RuntimeError(f"the slider said {said}")
        if time.perf_counter() - start > DRAW_S:
            raise RuntimeError(f"the picture stayed the same for {DRAW_S} s")
        tab.wait_for_timeout(50)
    took = time.perf_counter() - start
    if picture.screenshot() == before:
        raise RuntimeError("the picture was drawn anew, and looks as before")
    return took


def try_sliders(tab) -> list[float]:
    """Move every slider of the page by key and by pointer; seconds each recomputation took."""
    took = []
    boxes = tab.locator(".widget-vbox:has(.widget-slider)")
    for box in boxes.all():
        box.scroll_into_view_if_needed()
        handle = box.locator(".noUi-handle").first
        low, high, now = (
            float(handle.get_attribute(f"aria-value{end}")) for end in ("min", "max", "now")
        )
        key = "ArrowRight" if now < (low + high) / 2 else "ArrowLeft"

        def by_key(handle=handle, key=key):
            handle.focus()
            for _ in range(4):  # a step is a quarter of the distance between the drawn frames
                tab.keyboard.press(key)

        def by_pointer(box=box):
            track = box.locator(".noUi-base").first.bounding_box()
            part = 0.2 if key == "ArrowRight" else 0.8
            tab.mouse.click(track["x"] + part * track["width"], track["y"] + track["height"] / 2)

        took += [move(tab, box, by_key), move(tab, box, by_pointer)]
    return took


def try_refusal(tab) -> list[str]:
    """Type -1 into the box beside each slider of numbers; what was said where nothing could be
    drawn.

    Raises:
        RuntimeError: if neither a picture nor a reason came, or the last picture went.
    """
    said = []
    for box in tab.locator(".widget-vbox:has(.widget-slider):has(input[type=number])").all():
        box.scroll_into_view_if_needed()
        picture, status = box.locator(".widget-html").last, box.locator("[role=status]")
        settle(tab)
        drawn = picture.inner_html()
        entry = box.locator("input[type=number]").first
        entry.fill("-1")
        entry.press("Enter")
        start = time.perf_counter()
        while picture.inner_html() == drawn and "No picture" not in "".join(
            status.all_inner_texts()
        ):
            if time.perf_counter() - start > DRAW_S:
                raise RuntimeError(f"a slider said nothing to -1 for {DRAW_S} s")
            tab.wait_for_timeout(50)
        if reasons := [text for text in status.all_inner_texts() if "No picture" in text]:
            if picture.inner_html() != drawn:
                raise RuntimeError(f"the last picture went: {reasons}")
            said += reasons
    return said


def untypeset(tab) -> list[str]:
    """Formulas that JupyterLab did not understand, and what of MyST is left in the text."""
    return tab.evaluate("""() => {
      const wrong = [...document.querySelectorAll("mjx-merror, .MathJax_Error")].map(e => e.textContent);
      const raw = /\\$\\$|\\{(eq|ref|doc|term|math|cite:?[tp]?)\\}|^:::|```/m;
      const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
      for (let n = walk.nextNode(); n; n = walk.nextNode())
        if (n.parentElement.closest(".jp-MarkdownOutput") && !n.parentElement.closest("code, mjx-container")
            && raw.test(n.data)) wrong.push(n.data.trim().slice(0, 80));
      return wrong;
    }""")


def by_keyboard(tab, box, kind: str) -> None:
    """Answer the guess in `box` as a reader without a pointer does."""
    fields = box.locator("input, select")
    if kind == "choice":
        fields.first.focus()
        tab.keyboard.press("Space")
    elif kind == "number":
        fields.first.focus()
        tab.keyboard.type("12")
    else:
        for place, field in enumerate(fields.all()):
            field.focus()
            tab.keyboard.type(str(place + 1))


def try_guesses(tab) -> list[str]:
    """Answer the first guess of each kind; the kinds that were there.

    Raises:
        RuntimeError: if a guess was told before it was made, or not after.
    """
    told = tab.locator(".ff-reveal [role=status]", has_text="You guessed")
    if told.count():
        raise RuntimeError(f"told before there was a guess: {told.all_inner_texts()}")
    kinds = {"choice": ".widget-radio", "number": ".widget-text", "order": ".widget-dropdown"}
    there = []
    for kind, mark in kinds.items():
        if not (boxes := tab.locator(f".ff-live:has({mark})")).count():
            continue
        by_keyboard(tab, boxes.first, kind)
        there.append(kind)
        start = time.perf_counter()
        while told.count() < len(there):
            if time.perf_counter() - start > DRAW_S:
                raise RuntimeError(f"nothing was told of a guess ({kind})")
            tab.wait_for_timeout(100)
    return there


def main(jupyter: str, *names: str) -> str:
    count, slowest, kinds = 0, 0.0, Counter()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        for name in names:
            shutil.copy(name, folder)
        with lab(jupyter, Path(folder)) as address:
            browser = launch(playwright)
            for name in map(Path, names):
                tab = browser.new_page(viewport={"width": 1400, "height": 1000})
                errors: list[str] = []
                tab.on("pageerror", lambda error, seen=errors: seen.append(str(error)))
                print(f"    {name.stem} ran in {run(tab, address, name.name):.0f} s", flush=True)
                guessed = try_guesses(tab)
                took = try_sliders(tab)
                refused = try_refusal(tab)
                if errors:
                    raise RuntimeError(f"{name.name}: errors in the page: {errors[:3]}")
                if wrong := untypeset(tab):
                    raise RuntimeError(f"{name.name}: not typeset: {wrong[:3]}")
                said = f"{len(took)} moves, {', '.join(f'{s:.1f}' for s in took) or '–'} s"
                print(
                    f"    {name.stem}: {said}; guesses: {', '.join(guessed) or 'none'}", flush=True
                )
                for reason in refused:
                    print(f"        {reason}", flush=True)
                source = name.read_text(encoding="utf-8")
                for call, shown in (("show.slider(", took), ("show.guess", guessed)):
                    if call in source and not shown:
                        raise RuntimeError(f"{name.name} has {call}…, but JupyterLab showed none")
                count, slowest = count + len(took), max([slowest, *took])
                kinds.update(guessed)
                tab.close()
                for kernel in json.load(urllib.request.urlopen(f"{address}/api/sessions")):
                    gone = urllib.request.Request(
                        f"{address}/api/sessions/{kernel['id']}", method="DELETE"
                    )
                    urllib.request.urlopen(gone).close()
            browser.close()
    return f"{len(names)} notebooks in JupyterLab, {count} moves of sliders, the slowest {slowest:.1f} s, guesses: {dict(kinds)}"


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    print(main(*sys.argv[1:]))
