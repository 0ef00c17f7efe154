"""Guesses: what is asked, what is told, and what a browser makes of both, with the keyboard."""

from __future__ import annotations

import html
import re
import sys

import numpy as np
import pytest

from fflib import show
from fflib.show import guesses, markup


@pytest.fixture
def shown(tmp_path, monkeypatch):
    """The HTML of everything shown so far, as a function."""
    monkeypatch.setenv("FFLIB_OUT", str(tmp_path))
    return lambda: "".join(f.read_text(encoding="utf-8") for f in sorted(tmp_path.glob("*.html")))


# --- Without a browser ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "because, said",
    [
        (
            "one valley, from -6.7 to 2e-05 dB",
            "One valley, from −6.7 to 2\u00a0×\u00a010<sup>−5</sup>\u00a0dB.",
        ),
        ("p = 1 has the least", "p = 1 has the least."),
        ("51.6 dB at 0.", "51.6\u00a0dB at 0."),
        ("n_eff grows", "n_eff grows."),
        ("", ""),
    ],
)
def test_the_reason_is_a_sentence(shown, because, said):
    show.guess("Which?", ["this", "that"]).reveal(0, because)
    assert f"<strong>Measured:</strong> this. {said}".strip() + "</p>" in shown()


def test_a_number(shown, capsys):
    asked = show.guess_number("How much is < 3?", "dB")
    asked.reveal(np.float32(2.5), "Two & a half.")
    page = shown()
    [group] = re.findall(r'<input type="number" step="any" name="([^"]+)"', page)
    assert "<legend>Your guess: How much is &lt; 3?</legend>" in page and "<span>dB</span>" in page
    assert f'data-ff-reveal="{group}" data-ff-answer="2.5" data-ff-unit="dB"' in page
    assert "<strong>Measured:</strong> 2.5\u00a0dB. Two &amp; a half." in page
    printed = capsys.readouterr().out
    assert printed == "How much is < 3?\n  ____ dB\nMeasured: 2.5 dB. Two & a half.\n"


@pytest.mark.parametrize("answer", [float("nan"), float("inf"), [1.0, 2.0]])
def test_a_number_that_is_none_is_refused(shown, answer):
    with pytest.raises(ValueError, match="answer must be one finite number"):
        show.guess_number("How much?").reveal(answer)


def test_an_order(shown, capsys):
    asked = show.guess_order("Who is first?", ["a < b", "c", "d"], ("first", "last"))
    asked.reveal(np.argsort([3.0, 1.0, 2.0]))
    asked.reveal(["d", "c", "a < b"])
    page = shown()
    groups = re.findall(r'<select name="([^"]+)"', page)
    assert len(groups) == 3 and len(set(groups)) == 1 and "<span>a &lt; b</span>" in page
    options = [(0, "1, first"), (1, "2"), (2, "3, last")]
    places = "".join(f'<option value="{k}">{place}</option>' for k, place in options)
    assert page.count(places) == 3
    assert f'data-ff-reveal="{groups[0]}" data-ff-answer="1,2,0"' in page
    assert "<strong>Measured:</strong> from first to last: c, d, a &lt; b." in page
    printed = capsys.readouterr().out
    assert "Who is first? (from first to last)\n  _ a < b\n  _ c\n  _ d\n" in printed


@pytest.mark.parametrize("order", [[0, 1], [0, 1, 1], [0, 1, 3], ["a", "b", "x"]])
def test_an_order_that_is_none_is_refused(shown, order):
    with pytest.raises(ValueError, match="order"):
        show.guess_order("Who?", ["a", "b", "c"]).reveal(order)


@pytest.mark.parametrize("items", [["only"], ["same", "same"], list("abcdefg")])
def test_items_are_two_to_six_and_differ(shown, items):
    with pytest.raises(ValueError, match="items must be 2 to 6 different texts"):
        show.guess_order("Who?", items)


def test_a_wrong_answer_tempts_for_a_reason(shown):
    show.guess("Which?", ["a <", "b"], why={"a <": "it has 3e-5 more"}).reveal("b")
    page = shown()
    assert "“a &lt;”: It has 3\u00a0×\u00a010<sup>−5</sup> more." in page
    assert re.findall(r'data-ff-why="(.)"', page) == ["0"]
    assert show.guess("Which?", why={"a": "It is first.", "b": "It is last."}).options == ["a", "b"]
    with pytest.raises(ValueError, match=r"why must explain options, but got \['c'\]"):
        show.guess("Which?", ["a", "b"], why={"c": "There is none."})


def test_only_a_page_keeps_the_answer_closed(shown, monkeypatch):
    show.guess("Which?", ["a", "b"]).reveal(0)
    assert 'class="ff ff-reveal"' in shown() and shown().count("<style>") == 2
    monkeypatch.setenv("FFLIB_STATIC", "1")
    show.guess("Which?", ["a", "b"]).reveal(0)
    assert shown().count('class="ff ff-reveal ff-closed"') == 1
    assert shown().count("<style>") == shown().count("<script>") == 2  # a page loads both once


# --- With a live kernel ---------------------------------------------------------------------------

# What readers may type where 4 dB is measured, and what they are told.
TYPED = [("2.9", "too low."), ("4.2", "that is close."), ("7", "too high."), ("-4", "too low.")]


@pytest.fixture
def bundles(monkeypatch):
    """The outputs of a notebook whose kernel can show widgets, in a list."""
    pytest.importorskip("ipywidgets")
    from IPython import display

    seen = []
    monkeypatch.setattr(markup, "live", lambda: True)
    monkeypatch.setattr(markup, "shell", lambda: "a shell")
    monkeypatch.setattr(display, "display", lambda bundle, raw: seen.append(bundle))
    return seen


@pytest.fixture
def told_live(bundles, monkeypatch):
    """What the last revealed widget says, as a function."""
    shown = []
    follow = guesses.Asked._follow
    monkeypatch.setattr(
        guesses.Asked, "_follow", lambda *given: shown.append(follow(*given)) or shown[-1]
    )
    return lambda: html.unescape(re.search(r'<p role="status">(.*?)</p>', shown[-1].value)[1])


def test_a_live_choice_is_told_and_may_change(told_live, bundles):
    asked = show.guess("Which < that?", ["a <", "b"], why={"a <": "It is first."})
    asked.reveal("b", "Because.")
    [radio] = asked.inputs
    assert asked.value is None and told_live() == ""
    radio.index = 0
    assert asked.value == 0
    assert told_live() == "You guessed “a <”: not what came out. It is first."
    radio.index = 1
    assert asked.value == 1 and told_live() == "You guessed “b”: that is what came out."
    question, answer = bundles
    assert question["text/plain"] == "Which < that?\n  ( ) a <\n  ( ) b"
    assert question[markup.VIEW]["model_id"] == asked.box.model_id
    assert answer["text/plain"] == "Measured: b. Because."
    # where widgets cannot be shown, question and answer are HTML that belongs together
    [group] = set(re.findall(r'type="radio" name="([^"]+)"', question["text/html"]))
    assert f'data-ff-reveal="{group}" data-ff-answer="1"' in answer["text/html"]


@pytest.mark.parametrize(("typed", "says"), TYPED)
def test_a_live_number_is_told(told_live, typed, says):
    asked = show.guess_number("How many?", "dB")
    asked.reveal(4.0)
    [field] = asked.inputs
    assert asked.value is None and told_live() == ""
    field.value = typed
    assert asked.value == float(typed) and told_live() == f"You guessed {typed} dB: {says}"
    field.value = ""
    assert asked.value is None and told_live() == ""


def test_a_live_number_that_is_none(told_live):
    asked = show.guess_number("How many?")
    asked.reveal(4.0)
    [field] = asked.inputs
    for typed in ("about 3", "nan", "inf", "2,5"):
        field.value = typed
        assert asked.value is None and told_live() == f"“{typed}” is not a number."
    for begun in ("-", ".", " "):
        field.value = begun
        assert told_live() == ""
    field.value = "−3"  # a minus sign as the book prints it
    assert asked.value == -3 and told_live() == "You guessed −3: too low."


def test_a_live_order_is_told_and_no_two_share_a_place(told_live):
    asked = show.guess_order("In which order?", ["a", "b", "c"])
    asked.reveal(["c", "a", "b"])
    a, b, c = asked.inputs
    assert asked.value == [None] * 3 and told_live() == ""
    a.index, b.index = 1, 2  # the first option is no place
    assert asked.value == [0, 1, None]
    assert told_live() == "You have not given every item a place yet."
    c.index = 3
    assert told_live() == "You guessed a, b, c: 1 of 3 pairs are in the measured order."
    c.index = 2
    assert asked.value == [0, 2, 1]
    assert told_live() == "You guessed a, c, b: 2 of 3 pairs are in the measured order."
    c.index = 1
    assert told_live() == "You guessed c, a, b: that is what came out."
    a.index = 0
    assert asked.value == [None, 2, 0]
    b.index = 1  # c, who was there, takes b's place
    assert asked.value == [None, 0, 2]


def test_live_fields_have_labels_and_show_them_whole(bundles):
    """ipywidgets cuts long texts unless the width is theirs; `show.css` lets them wrap."""
    long = "a text that is longer than the three hundred pixels that a widget has by default"
    choice, number = show.guess("Which?", [long, "b"]), show.guess_number("How many?", "dB")
    order = show.guess_order("In which order?", [long, "b"])
    fields = [field for asked in (choice, number, order) for field in asked.inputs]
    assert {field.layout.width for field in fields} == {"auto"}
    assert choice.inputs[0].options[0] == (long, 0)
    assert [field.description for field in fields[1:]] == ["A number (dB):", long, "b"]
    assert {field.style.description_width for field in fields[1:]} == {"initial"}
    assert [option for option, _ in fields[2].options] == ["–", "1, best", "2, worst"]
    for asked in (choice, number, order):
        assert "ff-live" in asked.box._dom_classes
        assert f"Your guess: {asked.question}</p>" in asked.box.children[0].value


def test_on_colab_there_is_only_the_widget(bundles, monkeypatch):
    monkeypatch.setitem(sys.modules, "google.colab", object())
    show.guess("Which?", ["a", "b"]).reveal(0)
    assert [set(bundle) for bundle in bundles] == [{"text/plain", markup.VIEW}] * 2


def test_a_page_has_no_live_guess(shown, monkeypatch):
    monkeypatch.setenv("FFLIB_STATIC", "1")
    asked = (
        show.guess("Which?", ["a", "b"]),
        show.guess_number("How many?"),
        show.guess_order("How?", ["a", "b"]),
    )
    assert [each.value for each in asked] == [None, None, []]
    assert shown().count("<fieldset>") == 3


# --- In a browser ---------------------------------------------------------------------------------


@pytest.fixture
def tab(chromium, shown):
    """Opens what was shown; the fields are reached with the keyboard alone."""
    page = chromium.new_page()
    page.set_default_timeout(10_000)

    def open_shown():
        page.set_content("<!doctype html><html><body>" + shown() + "</body></html>")
        return page

    yield open_shown
    page.close()


def told(page) -> list[str]:
    return page.locator("[data-ff-reveal]").all_inner_texts()


def test_nothing_is_told_before_a_guess(tab):
    show.guess("Which?", ["a", "b"]).reveal(0)
    show.guess_number("How many?").reveal(1)
    show.guess_order("In which order?", ["a", "b"]).reveal([0, 1])
    assert told(tab()) == ["", "", ""]


def test_a_long_question_stays_inside_its_box(tab):
    """Browsers draw a legend on the border of its box, where one of three lines hides things."""
    show.guess(
        "Is a question of several lines, as they are on a phone, part of the box? " * 2, ["a", "b"]
    )
    page = tab()
    page.set_viewport_size({"width": 360, "height": 800})
    box, legend, first = (
        page.locator(f".ff-guess {what}").first.bounding_box()
        for what in ("fieldset", "legend", "label")
    )
    assert legend["height"] > 60, "the question is to take several lines here"
    assert box["y"] < legend["y"] and box["x"] < legend["x"]
    assert legend["y"] + legend["height"] <= first["y"] and first["x"] < box["x"] + 30


def test_a_choice_is_told(tab):
    asked = show.guess("Which?", ["a", "b"])
    asked.reveal("b")
    page = tab()
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert told(page) == ["You guessed “a”: not what came out."]
    page.keyboard.press("ArrowDown")
    assert told(page) == ["You guessed “b”: that is what came out."]


@pytest.mark.parametrize(("typed", "says"), TYPED)
def test_a_number_is_told(tab, typed, says):
    asked = show.guess_number("How many?", "dB")
    asked.reveal(4.0)
    page = tab()
    page.keyboard.press("Tab")
    page.keyboard.type(typed)
    assert told(page) == [f"You guessed {typed} dB: {says}"]
    for _ in typed:
        page.keyboard.press("Backspace")
    assert told(page) == [""]


def test_an_order_is_told_and_no_two_share_a_place(tab):
    asked = show.guess_order("In which order?", ["a", "b", "c"])
    asked.reveal(["c", "a", "b"])
    page = tab()

    def choose(place: str) -> None:
        page.keyboard.press("Tab")
        page.keyboard.type(place)

    choose("1")
    choose("2")
    assert told(page) == ["You have not given every item a place yet."]
    choose("3")
    assert told(page) == ["You guessed a, b, c: 1 of 3 pairs are in the measured order."]
    page.keyboard.press("ArrowUp")  # c goes from 3 to 2, where b was
    values = page.locator("select").evaluate_all("all => all.map((e) => e.value)")
    assert values == ["0", "2", "1"]
    assert told(page) == ["You guessed a, c, b: 2 of 3 pairs are in the measured order."]
    page.keyboard.press("ArrowUp")
    assert told(page) == ["You guessed c, a, b: that is what came out."]


# --- On a page, where the answer waits ---


@pytest.fixture
def page(tab, monkeypatch):
    """Opens what was shown as the book's pages do, whose script is loaded once, after the text."""
    monkeypatch.setenv("FFLIB_STATIC", "1")

    def open_page():
        opened = tab()
        opened.add_style_tag(content=markup.asset("show.css"))
        opened.add_script_tag(content=markup.asset("show.js"))
        return opened

    return open_page


def commit_choice(page) -> None:
    page.keyboard.press("Tab")
    page.keyboard.press("Space")


def commit_number(page) -> None:
    page.keyboard.press("Tab")
    page.keyboard.type("3")
    assert not page.locator(".ff-reveal").is_visible(), "told before the number was complete"
    page.keyboard.press("Enter")


def commit_order(page) -> None:
    for place in ("1", "2"):
        assert not page.locator(".ff-reveal").is_visible(), "told before each had its place"
        page.keyboard.press("Tab")
        page.keyboard.type(place)


KINDS = {
    "choice": (lambda: show.guess("Which?", ["a", "b"]), 0, commit_choice),
    "number": (lambda: show.guess_number("How many?"), 4.0, commit_number),
    "order": (lambda: show.guess_order("Who?", ["a", "b"]), [1, 0], commit_order),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_answer_waits_at_its_question_for_a_guess(page, kind):
    ask, answer, commit = KINDS[kind]
    ask().reveal(answer, "Because.")
    opened = page()
    waiting = opened.locator(".ff-guess .ff-reveal")
    assert waiting.count() == 1 and not waiting.is_visible()
    commit(opened)
    assert waiting.is_visible() and "Because." in waiting.inner_text()
    assert not opened.get_by_role("button").is_visible()


@pytest.mark.parametrize("kind", KINDS)
def test_the_answer_comes_when_asked_for(page, kind):
    ask, answer, _ = KINDS[kind]
    ask().reveal(answer)
    opened = page()
    button = opened.get_by_role("button", name="Show me")
    button.focus()
    opened.keyboard.press("Enter")
    assert opened.locator(".ff-guess .ff-reveal").is_visible() and not button.is_visible()
    assert told(opened) == [""]


def test_only_the_chosen_option_says_why_it_tempts(page):
    why = {"a": "It is near.", "b": "It is far."}
    show.guess("Which?", ["a", "b", "c"], why=why).reveal("c")
    opened = page()
    opened.get_by_role("button", name="Show me").click()
    seen = opened.locator("[data-ff-why]:visible")
    assert seen.all_inner_texts() == ["“a”: It is near.", "“b”: It is far."]
    opened.get_by_label("b", exact=True).check()
    assert seen.all_inner_texts() == ["“b”: It is far."]


def test_on_paper_and_without_a_script_the_answer_stands_where_it_was_measured(page, tab):
    asked = show.guess("Which?", ["a", "b"])
    asked.reveal("b")
    assert tab().locator("body > .ff-reveal").is_visible()
    opened = page()
    assert not opened.locator(".ff-reveal").is_visible()
    opened.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert opened.locator("body > .ff-reveal").is_visible()
    opened.evaluate("dispatchEvent(new Event('afterprint'))")
    assert not opened.locator(".ff-guess .ff-reveal").is_visible()


def test_guesses_of_one_page_do_not_meet(tab):
    first, second = (show.guess_number(f"How many, {k}?") for k in (1, 2))
    first.reveal(1)
    second.reveal(2)
    page = tab()
    page.keyboard.press("Tab")
    page.keyboard.type("1")
    assert told(page) == ["You guessed 1: that is close.", ""]


def test_it_works_in_the_frame_of_a_notebook(tab, shown):
    """JupyterLab puts each output into the page by itself and then runs its scripts."""
    asked = show.guess_order("In which order?", ["a", "b"])
    asked.reveal([1, 0])
    page = tab()
    page.evaluate("""() => {
        const again = document.body.innerHTML;
        document.body.innerHTML = "";
        for (const {text} of [...new DOMParser().parseFromString(again, "text/html").scripts])
          document.body.append(Object.assign(document.createElement("script"), {text}));
        document.body.insertAdjacentHTML("beforeend", again);
    }""")
    for place in ("1", "2"):
        page.keyboard.press("Tab")
        page.keyboard.type(place)
    assert told(page) == ["You guessed a, b: 0 of 1 pairs are in the measured order."]
