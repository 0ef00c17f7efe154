"""The built pages: nothing from elsewhere, nothing missing, nothing unreadable.

Needs `make book` first. Each page is opened twice in a real browser with the network cut and its
hidden cells unfolded: in the light from file://, in the dark from a local server.
"""

from __future__ import annotations

import base64
import functools
import html
import http.server
import importlib
import inspect
import json
import os
import re
import threading
from collections import Counter
from urllib.parse import unquote, urldefrag, urlparse

import export
import pytest
import yaml
from library import library_modules
from pages import BOOK, NO_BOOK, ROOT, all_pages, outline

pytestmark = pytest.mark.built

PAGES = all_pages()
SOURCES = export.Book(ROOT).pages
SLIDER = '<figure class="ff ff-slider"'
SLIDER_PAGES = [p for p in PAGES if SLIDER in (BOOK / p).read_text(encoding="utf-8")]
SCHEMES = ("light", "dark")
FILES = f"{BOOK.as_uri()}/"
SETTLE_MS = 150
MAX_PAGE_BYTES = 3_000_000

each_page = pytest.mark.parametrize("name", PAGES)


# --- Without a browser ----------------------------------------------------------------------------


def test_the_book_is_built():
    assert PAGES, NO_BOOK


def test_every_entry_of_the_contents_has_its_page():
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    entries = [c["file"] for part in contents["parts"] for c in part["chapters"]]
    missing = [e for e in [contents["root"], *entries] if f"{e}.html" not in PAGES]
    assert not missing, f"{missing}: {NO_BOOK}"


def test_the_root_leads_to_the_first_page():
    target = re.search(r"url=([^\"]+)", (BOOK / "index.html").read_text(encoding="utf-8"))
    assert target and target[1] in PAGES


@functools.cache
def anchors(name: str) -> frozenset[str]:
    return frozenset(outline(name).ids)


@each_page
def test_links_within_the_book_resolve(name):
    broken = []
    for link in outline(name).links:
        address, anchor = urldefrag(link)
        if urlparse(link).scheme or link in ("", "#"):
            continue
        target = (
            (BOOK / name).parent.joinpath(unquote(address)).resolve() if address else BOOK / name
        )
        if not target.is_file():
            broken.append(link)
        elif anchor and target.suffix == ".html":
            if unquote(anchor) not in anchors(target.relative_to(BOOK).as_posix()):
                broken.append(link)
    assert not broken, f"{name} links to {sorted(set(broken))}, which is not there"


@each_page
def test_nothing_is_loaded_from_another_host(name):
    foreign = [a for a in outline(name).loads if re.match(r"(https?:)?//", a)]
    assert not foreign


@each_page
def test_ids_are_unique(name):
    repeated = [name for name, count in Counter(outline(name).ids).items() if count > 1]
    assert not repeated


@each_page
def test_colab_opens_the_exported_notebook(name):
    links = [a for a in outline(name).links if "colab.research.google.com" in a]
    assert all(a.endswith(f"/{name.removesuffix('.html')}.ipynb") for a in links), links
    has_one = export.repository(ROOT) != "https://github.com/OWNER/REPO"
    assert bool(links) == (has_one and (ROOT / name).with_suffix(".ipynb").exists())


@each_page
def test_no_link_waits_for_an_address(name):
    assert not [a for a in outline(name).links if "OWNER" in a]


@each_page
def test_style_and_script_of_outputs_are_loaded_once(name):
    text = (BOOK / name).read_text(encoding="utf-8")
    assert ".ff-guess {" not in text and "window.ffShow" not in text
    for file in ("show.css", "show.js"):
        assert sum(file in a for a in outline(name).loads) == 1


@each_page
def test_a_page_is_not_heavy(name):
    assert (BOOK / name).stat().st_size < MAX_PAGE_BYTES


@each_page
def test_no_cell_complains(name):
    text = (BOOK / name).read_text(encoding="utf-8")
    assert not re.search(r'class="output (stderr|traceback)', text), "a cell wrote to stderr"
    assert not re.search(r"&lt;[\w. ]+ at 0x", text), "a cell ends in an object without words"


@each_page
def test_no_widget_is_left_over(name):
    assert "application/vnd.jupyter.widget" not in (BOOK / name).read_text(encoding="utf-8")


@functools.cache
def ledger() -> dict:
    text = (BOOK / "book/reference/ledger.json").read_text(encoding="utf-8")
    return {chapter["chapter"]: chapter for chapter in json.loads(text)["chapters"]}


EXERCISES = {
    f"{name}.html": re.findall(r"^show\.attempt\((\w+), (\w+)\)$", page.source, re.M)
    for name, page in SOURCES.items()
    if any(block.kind == "exercise" for block in page.blocks)
}


def test_there_are_exercises():
    assert len(EXERCISES) > 10 and all(len(stubs) >= 3 for stubs in EXERCISES.values())


@pytest.mark.parametrize("name", EXERCISES)
def test_blank_exercises_fail_and_solutions_pass(name):
    """As the build saw it: every blank stub was refused. Every solution went through the same check
    in a cell of its own (test_project.py), whose failure would have stopped the build."""
    attempts = ledger()[name.removesuffix(".html")]["attempts"]
    passed = {(attempt["check"], attempt["name"]): attempt["passed"] for attempt in attempts}
    for stub in EXERCISES[name]:
        assert passed[stub] is False, f"{stub} passes without being written"
    text = (BOOK / name).read_text(encoding="utf-8")
    assert text.count("not written yet. Replace the") >= len(EXERCISES[name])


CLAIMS = re.compile(
    r'<details class="ff-claims"><summary>✓ (\d+) claims? checked</summary><ul>(.*?)</ul>', re.S
)


def test_a_section_has_one_line_of_claims():
    for name in PAGES:
        page = (BOOK / name).read_text(encoding="utf-8")
        sections = re.split(r"<h2\b", page)
        assert all(section.count('<details class="ff-claims"') <= 1 for section in sections), name
        assert '"ff-claim"' not in page, f"{name}: a claim where it was checked"


def test_every_check_of_a_chapter_is_in_the_ledger():
    """As many claims as the pages list below their ticks; each with what was measured."""
    page = (BOOK / "book/reference/ledger.html").read_text(encoding="utf-8")
    for chapter, kept in ledger().items():
        listed = CLAIMS.findall((BOOK / f"{chapter}.html").read_text(encoding="utf-8"))
        assert len(kept["claims"]) == sum(items.count("<li>") for _, items in listed), chapter
        assert all(int(told) == items.count("<li>") for told, items in listed), chapter
        for claim in kept["claims"]:
            assert html.escape(claim["claim"], quote=False) in page, claim
        assert f'href="{os.path.relpath(chapter, "book/reference")}.html"' in page
        assert kept["versions"] and kept["device"] and kept["scale"] == kept["scale"].lower()


def test_published_values_of_a_chapter_are_met():
    """A number beside a published one is in, or its claim would not hold."""
    for chapter, kept in ledger().items():
        for claim in kept["claims"]:
            if "published" in claim:
                off = abs(claim["value"] - claim["published"])
                assert off <= claim["tolerance"], f"{chapter}: {claim}"


def public_names() -> set[str]:
    """Everything of the library that has no underscore and is its own, as Sphinx writes it."""
    found = set()
    for path in library_modules():
        if path in ("fflib", "fflib.checks") or path.startswith("fflib.show."):
            continue  # the first hands the names of the others on
        module = importlib.import_module(path)
        names = getattr(module, "__all__", None) or [
            name
            for name, thing in vars(module).items()
            if getattr(thing, "__module__", "") == module.__name__ and not name.startswith("_")
        ]
        for name in names:
            thing = getattr(module, name)
            if inspect.isfunction(thing) or inspect.isclass(thing):
                found.add(f"{path}.{name}")
                own = vars(thing).items() if inspect.isclass(thing) else ()
                found |= {
                    f"{path}.{name}.{method}"
                    for method, function in own
                    if inspect.isfunction(function)
                    and not method.startswith("_")
                    and function.__doc__
                }
    return found


def test_the_reference_has_every_public_name():
    pages = (BOOK / "book/reference/api").glob("*.html")
    ids = set().union(*(anchors(f"book/reference/api/{page.name}") for page in pages))
    missing = sorted(name for name in public_names() if name not in ids)
    assert not missing, f"not in the reference: {missing}"


def test_previous_and_next_lead_through_the_whole_book():
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    order = list(export.walk_toc(contents))
    for before, name, after in zip([None, *order], order, [*order[1:], None], strict=False):
        text = (BOOK / f"{name}.html").read_text(encoding="utf-8")
        found = dict(re.findall(r'class="(left|right)-(?:prev|next)"\s*href="([^"]+)"', text))
        told = {side: os.path.normpath(f"{name}/../{link}") for side, link in found.items()}
        wanted = {"left": before, "right": after}
        assert told == {side: f"{page}.html" for side, page in wanted.items() if page}, name


def test_the_table_of_times_names_chapters_by_title():
    page = (BOOK / "book/reference/reproduce.html").read_text(encoding="utf-8")
    times = page.split(">Seconds<")[1].split("</table>")[0]
    assert ">Why is it blurry?<" in times and ">book/" not in times and "✅" not in times


def test_the_front_page_begins_with_a_slider_and_the_first_chapter():
    page = (BOOK / "book/index.html").read_text(encoding="utf-8")
    before, after = page.split(SLIDER)
    assert "<h2" not in before.split("<article")[1]
    assert re.search(r">1 · <[^>]*>[^<]*Why is it blurry\?.{0,60} · \d+ min<", after)


def test_the_foot_of_a_page_leads_along_the_short_path():
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    path = [chapter["file"] for chapter in contents["parts"][0]["chapters"]]
    for name in PAGES:
        page = name.removesuffix(".html")
        text = (BOOK / name).read_text(encoding="utf-8")
        feet = re.findall(r'<p class="chapter-foot">(.*?)</p>', text)
        assert len(feet) == (page in path), name
        if feet:
            at = path.index(page) + 1
            assert feet[0].startswith(f"Short path {at} of {len(path)} · ")
            links = re.findall(r'href="([^"]+)"', feet[0])
            told = [os.path.normpath(f"{page}/../{link}") for link in links]
            assert told == [f"{following}.html" for following in path[at : at + 1]]


@each_page
def test_the_text_is_there_before_any_script_runs(name):
    """Headings, figures and tables stand in the file; scripts only add."""
    source = SOURCES.get(name.removesuffix(".html"))
    text = (BOOK / name).read_text(encoding="utf-8")
    bare = re.sub(r"<script\b.*?</script>|<style\b.*?</style>", "", text, flags=re.S)
    if source is None:  # the index and the search
        return
    assert re.search(r"<h1>", bare) and bare.count("<p") > 2
    for heading in re.findall(r"^## ([\w ,']+)$", source.source, re.M):
        assert f"<h2>{html.escape(heading.strip(), quote=False)}" in html.unescape(bare).replace(
            "’", "'"
        ), heading
    for slider in bare.split(SLIDER)[1:]:  # one frame of each is to be seen
        assert re.search(r'class="ff-frame" data-text="[^"]*">', slider)


@each_page
def test_nothing_moves_by_itself(name):
    text = (BOOK / name).read_text(encoding="utf-8")
    assert not re.search(r"<(marquee|blink|animate\w*|video|audio)\b|\bautoplay\b", text)
    inline = re.findall(r"data:image/(?:webp|gif|png);base64,([A-Za-z0-9+/=]+)", text)
    pictures = [base64.b64decode(data) for data in inline]
    pictures += [
        (BOOK / name).parent.joinpath(address).read_bytes()
        for address in re.findall(r'<img [^>]*src="([^":]+\.(?:webp|gif|png))"', text)
    ]
    for data in pictures:
        assert not re.search(b"ANIM|NETSCAPE|acTL", data[:4096]), "a picture is animated"


# --- In a browser ---------------------------------------------------------------------------------


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args) -> None:
        pass


@pytest.fixture(scope="session")
def address():
    """Address of the book from a local server."""
    handler = functools.partial(Quiet, directory=str(BOOK))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


class Visit:
    """One page opened in one way; what went wrong is recorded as it happens."""

    def __init__(self, browser, base: str, page: str, scheme: str = "light", width: int = 1280):
        self.elsewhere: list[str] = []
        self.missing: list[str] = []
        self.errors: list[str] = []
        self.base, self.page, self.scheme = base, page, scheme
        self.context = browser.new_context(
            color_scheme=scheme, viewport={"width": width, "height": 800}, reduced_motion="reduce"
        )
        self.tab = self.context.new_page()
        self.tab.set_default_timeout(60_000)
        self.tab.route("**/*", self.guard)
        self.tab.on("requestfailed", lambda r: self.missing.append(r.url))
        self.tab.on("response", lambda r: r.status >= 400 and self.missing.append(r.url))
        self.tab.on("pageerror", lambda e: self.errors.append(str(e)))
        self.tab.on("console", self.listen)
        self.tab.goto(base + page, wait_until="load")
        self.tab.wait_for_function("document.documentElement.dataset.theme !== 'auto'")
        self.tab.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        self.tab.wait_for_timeout(SETTLE_MS)

    def guard(self, route) -> None:
        if route.request.url.startswith((self.base, "data:", "blob:")):
            return route.continue_()
        self.elsewhere.append(route.request.url)
        return route.abort()

    def listen(self, message) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def __enter__(self) -> Visit:
        return self

    def __exit__(self, *error) -> None:
        self.context.close()

    def resize(self, width: int) -> None:
        self.tab.set_viewport_size({"width": width, "height": 740})
        self.tab.wait_for_timeout(SETTLE_MS)

    def ask(self, script: str):
        return self.tab.evaluate(script)


@pytest.fixture(
    scope="module", params=[(p, s) for p in PAGES for s in SCHEMES], ids=lambda p: "-".join(p)
)
def seen(request, chromium, address):
    """Each page, opened in each colour scheme, once for all tests."""
    page, scheme = request.param
    with Visit(chromium, FILES if scheme == "light" else address, page, scheme) as opened:
        yield opened


RAW_TEX = r"""() => {
  const raw = /\$\$|\$[^\s$][^$]*\$|\\[a-zA-Z]{2,}|\{(eq|ref|doc|term|math|cite:?[tp]?)\}/;
  const skip = "pre, code, script, style, annotation, kbd, .sig, textarea";
  const walk = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  const found = [];
  for (let n = walk.nextNode(); n; n = walk.nextNode())
    if (raw.test(n.data) && !n.parentElement.closest(skip)) found.push(n.data.trim().slice(0, 80));
  document.querySelectorAll(".math").forEach((e) =>
    e.querySelector("math") || found.push("no formula in: " + e.textContent.slice(0, 80)));
  return found;
}"""

UNDESCRIBED = r"""() => {
  const said = (e) => (e.getAttribute("aria-label") || e.getAttribute("alt") || "").trim();
  const hidden = (e) => e.closest('[aria-hidden="true"], [hidden]');
  const inPicture = (e) => e.parentElement.closest('[role="img"][aria-label]');
  const show = (e) => e.outerHTML.slice(0, 120);
  const found = [];
  document.querySelectorAll("img").forEach((e) =>
    said(e) || hidden(e) || inPicture(e) || found.push(show(e)));
  document.querySelectorAll("main article svg").forEach((e) =>
    hidden(e) || inPicture(e) || e.parentElement.closest("svg, button")
    || (e.getAttribute("role") === "img" && said(e)) || found.push(show(e)));
  document.querySelectorAll("figure").forEach((e) =>
    said(e) || [...e.querySelectorAll('img, [role="img"]')].some(said) || found.push(show(e)));
  return found;
}"""

TOO_WIDE = r"""() => {
  const width = document.documentElement.clientWidth;
  if (document.scrollingElement.scrollWidth <= width) return [];
  const inScroller = (e) => {
    for (let p = e.parentElement; p && p !== document.body; p = p.parentElement)
      if (getComputedStyle(p).overflowX !== "visible") return true;
    return false;
  };
  const wide = [...document.body.querySelectorAll("*")].filter((e) =>
    e.getBoundingClientRect().right > width + 1 && !inScroller(e));
  return ["page: " + document.scrollingElement.scrollWidth + " px",
          ...wide.slice(0, 5).map((e) => e.outerHTML.slice(0, 120))];
}"""


# axe takes a minute over ten thousand elements. It needs no lines of a figure, which is one picture
# with one description, and of the coloured words of code one of each kind at each kind of place.
THIN_OUT = """() => {
  const taken = [], kinds = new Set();
  const take = (e) => { taken.push([e, e.parentNode, e.nextSibling]); e.remove(); };
  const kind = (e) => e && e.className + "<" + kind(e.parentElement);
  document.querySelectorAll("svg > :not(title, desc)").forEach(take);
  document.querySelectorAll("pre span[class]:not(:has(*))").forEach((e) => {
    if (kinds.has(kind(e))) take(e); else kinds.add(kind(e));
  });
  window.restoreAll = () => {
    for (const [e, parent, next] of taken.reverse()) parent.insertBefore(e, next);
  };
}"""


STUCK = """() => [...document.querySelectorAll(".math-scroll, .pst-scrollable-table-container")]
    .filter((e) => e.scrollWidth > e.clientWidth + 1)
    .filter((e) => e.tabIndex !== 0 || !e.matches('[role="group"][aria-label]'))
    .map((e) => e.textContent.slice(0, 80))"""


CUT_OFF = """() => [...document.querySelectorAll(".ff-table caption")]
    .filter((e) => e.offsetWidth > e.closest(".ff-table").clientWidth + 1)
    .map((e) => e.textContent)"""


def test_asks_no_other_host_and_misses_nothing(seen):
    assert not seen.elsewhere, "asked another host"
    assert not seen.missing, "a file is missing"
    assert not seen.errors, "the console shows an error"


def test_the_colour_scheme_is_followed(seen):
    assert seen.ask("document.documentElement.dataset.theme") == seen.scheme


def test_mathematics_is_rendered(seen):
    assert not seen.ask(RAW_TEX)


def test_pictures_are_described(seen):
    assert not seen.ask(UNDESCRIBED)


# What axe finds in one colour scheme it finds in the other, but for these rules.
OF_COLOUR = {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}


def test_no_serious_accessibility_finding(seen):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    seen.ask(THIN_OUT)
    options = OF_COLOUR if seen.scheme == "dark" else None
    findings = axe.run(seen.tab, options=options).response["violations"]
    seen.ask("restoreAll()")
    serious = [
        f"{finding['id']}: {node['html'][:150]} {node['failureSummary'][:250]}"
        for finding in findings
        if finding["impact"] in ("serious", "critical")
        for node in finding["nodes"][:3]
    ]
    assert not serious, "\n".join(serious)


@pytest.mark.parametrize(
    "seen", [(p, "light") for p in PAGES], ids="-".join, indirect=True, scope="module"
)
def test_fits_a_phone(seen):
    seen.resize(360)
    too_wide, stuck, cut_off = seen.ask(TOO_WIDE), seen.ask(STUCK), seen.ask(CUT_OFF)
    seen.resize(1280)
    assert not too_wide, "wider than the screen"
    assert not stuck, "scrolls, but not with the keyboard"
    assert not cut_off, "a table's caption is read by scrolling only"


@pytest.mark.parametrize("name", EXERCISES)
def test_the_first_figure_stands_on_the_first_screen(chromium, name):
    """With its folds closed, on a desktop."""
    top = """() => {
      document.querySelectorAll("details").forEach((e) => { e.open = false; });
      return document.querySelector("main figure.ff").getBoundingClientRect().top + scrollY;
    }"""
    with Visit(chromium, FILES, name, width=1440) as opened:
        opened.tab.set_viewport_size({"width": 1440, "height": 900})
        assert opened.ask(top) <= 700


def test_the_book_has_sliders():
    assert SLIDER_PAGES


STATE = """(input) => {
  const frames = [...input.closest(".ff-slider").querySelectorAll(".ff-frame")];
  const shown = frames.flatMap((f, k) => f.checkVisibility() ? [k] : []);
  return [shown, input.getAttribute("aria-valuetext")];
}"""


def test_sliders_move_by_key_and_by_pointer(seen):
    sliders = seen.tab.locator(".ff-slider input[type=range]").all()
    assert bool(sliders) == (seen.page in SLIDER_PAGES)
    for slider in sliders:
        check_slider(slider)


def check_slider(slider) -> None:
    """A step by key, then the end farther away by pointer: another frame, value and picture."""
    picture = slider.locator("xpath=ancestor::figure").locator(".ff-frame:visible")
    (first,), said = slider.evaluate(STATE)
    last = int(slider.get_attribute("max"))
    seen = picture.screenshot()

    slider.focus()
    slider.press("ArrowLeft" if first == last else "ArrowRight")
    (moved,), now_said = slider.evaluate(STATE)
    assert abs(moved - first) == 1 and now_said and now_said != said
    assert (stepped := picture.screenshot()) != seen, f"{now_said} looks like {said}"

    far = last if moved <= last / 2 else 0
    box = slider.bounding_box()
    slider.click(position={"x": box["width"] - 3 if far else 3, "y": box["height"] / 2})
    (moved,), then_said = slider.evaluate(STATE)
    assert moved == far
    assert picture.screenshot() != stepped, f"{then_said} looks like {now_said}"


GUESS_PAGES = [p for p in PAGES if "data-ff-reveal" in (BOOK / p).read_text(encoding="utf-8")]


def test_a_guess_is_answered_where_it_stands_and_not_before(seen):
    """Every question of the book is answered with the keyboard, and told once it is."""
    boxes = seen.tab.locator(".ff-guess").all()
    assert bool(boxes) == (seen.page in GUESS_PAGES)
    assert seen.tab.locator(".ff-reveal").count() == len(boxes), "a guess without its measurement"
    for box in boxes:
        answer, button = box.locator(".ff-reveal"), box.get_by_role("button", name="Show me")
        assert not answer.is_visible() and button.is_visible(), "told before a guess"
        commit(seen.tab, box.locator("input, select").all())
        assert answer.is_visible() and not button.is_visible()
        assert answer.locator("[data-ff-reveal]").inner_text().startswith("You guessed ")
        assert box.locator("xpath=ancestor::details").count() == 0


def commit(tab, fields: list) -> None:
    """A guess of each kind."""
    kind = fields[0].get_attribute("type")
    if kind == "radio":
        fields[0].focus()
        tab.keyboard.press("Space")
    elif kind == "number":
        fields[0].focus()
        tab.keyboard.type("12")
        tab.keyboard.press("Enter")
    else:
        for k, field in enumerate(fields):
            field.select_option(index=k + 1)  # a value would match labels too


def test_the_code_of_a_guess_is_not_on_the_page():
    for name in GUESS_PAGES:
        text = (BOOK / name).read_text(encoding="utf-8")
        code = [
            re.sub("<[^>]+>", "", block) for block in re.findall("<pre>(.*?)</pre>", text, re.S)
        ]
        assert not [block for block in code if re.search(r"^\w+ = show\.guess\w*\(", block)], name


@pytest.mark.parametrize("name", GUESS_PAGES)
def test_without_a_script_and_on_paper_an_answer_ends_its_section(chromium, name):
    """Nothing follows it there but other answers, the claims and the sections below."""
    after = """() => [...document.querySelectorAll("section > .ff-reveal")].map((e) => {
      for (e = e.nextElementSibling; e; e = e.nextElementSibling)
        if (!e.matches(".ff-reveal, .ff-claims, section, script")) return e.outerHTML.slice(0, 99);
      return e === null && "";
    })"""
    with Visit(chromium, FILES, name) as opened:
        count = opened.tab.locator(".ff-guess").count()
        opened.ask("dispatchEvent(new Event('beforeprint'))")
        assert opened.ask(after) == [""] * count
        assert opened.tab.locator("section > .ff-reveal:visible").count() == count
        opened.ask("dispatchEvent(new Event('afterprint'))")
        assert opened.tab.locator(".ff-guess > .ff-reveal").count() == count
    bare = chromium.new_context(java_script_enabled=False)
    tab = bare.new_page()
    tab.goto(FILES + name)
    assert tab.locator("section > .ff-reveal:visible").count() == count
    bare.close()


FOLD_PAGES = [
    p for p in PAGES if '<details class="admonition hide' in (BOOK / p).read_text("utf-8")
]


@pytest.mark.parametrize("name", FOLD_PAGES)
def test_a_fold_says_what_it_holds(name):
    text = (BOOK / name).read_text(encoding="utf-8")
    folds = re.findall(r'class="collapsed admonition-title">([^<]*)<', text)
    assert folds and not [fold for fold in folds if not fold[:1].isupper() or "Show code" in fold]


def test_one_switch_shows_or_hides_all_code_and_is_remembered(chromium, address):
    """Over two pages, by keyboard; a page without folds has no switch."""
    first, second = [p for p in FOLD_PAGES if p in SLIDER_PAGES][:2]
    folds = "details.hide"
    with Visit(chromium, address, first) as opened:
        tab, switch = opened.tab, opened.tab.locator(".code-switch")
        everything = tab.locator(folds).count()

        def visit(page: str) -> None:
            tab.goto(address + page, wait_until="load")

        visit(first)
        assert tab.locator(f"{folds}[open]").count() == 0 and switch.inner_text() == "Show all code"
        switch.focus()
        tab.keyboard.press("Enter")
        assert tab.locator(f"{folds}[open]").count() == everything
        assert switch.inner_text() == "Hide all code"
        visit(second)
        assert tab.locator(f"{folds}:not([open])").count() == 0
        switch.click()
        assert tab.locator(f"{folds}[open]").count() == 0
        visit(first)
        assert tab.locator(f"{folds}[open]").count() == 0
        visit("book/reference/bibliography.html")
        assert switch.count() == 0


def test_the_first_page_is_light(chromium, address):
    """What its first visit loads, pictures that are not yet in sight left out."""
    sizes = """() => ["navigation", "resource"]
      .flatMap((kind) => performance.getEntriesByType(kind))
      .filter((e) => !e.name.startsWith("data:")).reduce((sum, e) => sum + e.decodedBodySize, 0)"""
    with Visit(chromium, address, "book/why_blurry.html") as opened:
        opened.tab.wait_for_load_state("networkidle")
        assert 300_000 < opened.ask(sizes) <= 1_200_000


def test_hidden_frames_wait_until_the_slider_is_touched(chromium, address):
    with Visit(chromium, address, "book/why_blurry.html") as opened:
        waiting = opened.tab.locator(".ff-frame[hidden] img")
        loaded = """all => {  // but for pictures that a frame in view shows, too
          const seen = [...document.images].filter((e) => !e.closest("[hidden]"));
          const shown = new Set(seen.map((e) => e.src));
          return all.filter((e) => e.naturalWidth && !shown.has(e.src)).length;
        }"""
        assert waiting.count() > 2 and waiting.evaluate_all(loaded) == 0
        opened.tab.locator(".ff-slider input").first.focus()
        opened.tab.wait_for_load_state("networkidle")
        assert waiting.evaluate_all(loaded) > 0


@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("network", "book/why_blurry.html"),
        ("circulant", "book/theory/spectral_bias.html"),
        ("detector shadows", "book/experiments/ct.html"),
        ("kernel_regression", "book/reference/api/theory.html"),
        ("zzz-not-there", None),
    ],
)
def test_search_works_from_the_file_system(chromium, words, page):
    with Visit(chromium, FILES, f"search.html?q={words}") as opened:
        done = (
            "/finished|did not match/.test(document.querySelector('.search-summary')?.textContent)"
        )
        opened.tab.wait_for_function(done)
        links = opened.tab.locator("#search-results li a").evaluate_all(
            "all => all.map((a) => a.href)"
        )
        pages = {urldefrag(link)[0].removeprefix(FILES).partition("?")[0] for link in links}
        assert page in pages if page else not links
        assert not opened.elsewhere and not opened.missing and not opened.errors


@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("NTK", "book/theory/ntk.html"),
        ("σ", "book/theory/scale.html"),
        ("bandwidth", "book/theory/scale.html"),
        ("aliasing", "book/reference/notation.html"),
        ("NeRF", "book/experiments/nerf.html"),
        ("HashGrid", "book/reference/api/encodings.html"),
    ],
)
def test_search_has_first_what_was_meant(chromium, words, page):
    with Visit(chromium, FILES, f"search.html?q={words}") as opened:
        first = opened.tab.locator("#search-results li a").first
        first.wait_for()
        opened.tab.wait_for_function(
            "/finished/.test(document.querySelector('.search-summary')?.textContent)"
        )
        assert first.evaluate("a => a.href").partition("?")[0].split("#")[0] == FILES + page


def test_each_kind_of_guess_is_used():
    found = Counter(
        kind
        for name in GUESS_PAGES
        for box in re.findall(
            r'<div class="ff ff-guess">.*?</fieldset>',
            (BOOK / name).read_text(encoding="utf-8"),
            re.S,
        )
        for kind in [re.search(r'type="radio"|type="number"|<select', box)[0]]
    )
    assert len(found) == 3 and min(found.values()) >= 2, found


def test_reduced_motion_is_honoured(chromium):
    """Nothing runs, and nothing takes time, when the reader asks for less motion."""
    with Visit(chromium, FILES, "book/why_blurry.html") as opened:
        slow = """() => [...document.querySelectorAll("*")].filter((e) => {
          const style = getComputedStyle(e);
          return Math.max(...style.transitionDuration.split(",").map(parseFloat)) > 0.01
            || (style.animationName !== "none" && parseFloat(style.animationDuration) > 0.01);
        }).length"""
        assert opened.ask(slow) == 0
        # what takes 0.01 ms still runs until the next picture, which a busy machine is slow to draw
        opened.tab.wait_for_function(
            "document.getAnimations().every((a) => a.playState !== 'running')"
        )
        assert opened.ask("getComputedStyle(document.documentElement).scrollBehavior") == "auto"
