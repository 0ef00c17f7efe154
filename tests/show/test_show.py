"""What readers meet: figures, pictures, sliders, guesses, checks."""

import base64
import io
import re
import subprocess
import sys
from types import SimpleNamespace
from xml.etree import ElementTree

import jax.numpy as jnp
import matplotlib
import numpy as np
import pytest

from fflib import show
from fflib.show import drawing, markup

ALT = "A line that rises from zero to one."

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture
def shown(tmp_path, monkeypatch):
    """The HTML of everything shown so far, as a function."""
    monkeypatch.setenv("FFLIB_OUT", str(tmp_path))
    monkeypatch.delenv("FFLIB_STATIC", raising=False)
    return lambda: "".join(f.read_text(encoding="utf-8") for f in sorted(tmp_path.glob("*.html")))


def line(slope=1.0, raster=False):
    fig, ax = show.panel("A line")
    ax.plot([0, 1], [0, slope], label="fit")
    ax.plot([0, 1], [0, 1], "k", label="truth")
    ax.set(xlabel="$v$", ylabel="value")
    ax.legend()
    if raster:
        ax.imshow(np.random.default_rng(0).random((8, 8)), extent=(0, 1, 0, 1))
    return fig


def ids(text):
    return re.findall(r'\bid="([^"]+)"', text)


# --- style -------------------------------------------------------------------------------------


def luminance(color):
    """Relative luminance, WCAG 2.2."""
    parts = [int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def test_contrast_formula():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("background", ["#ffffff", "#121212", "#14181e", "#1e1e1e"])
@pytest.mark.parametrize("color", show.COLORS)
def test_palette_has_contrast_on_light_and_dark(color, background):
    assert contrast(color, background) >= 3


def test_first_colors_differ_for_colour_blind_readers():
    # Machado, Oliveira and Fernandes (2009), severity 1: deuteranopia and protanopia; CIE Lab.
    simulate = [
        np.eye(3),
        [[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]],
        [[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]],
    ]
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    white = np.array([0.9505, 1.0, 1.0888])
    rgb = np.array([[int(c[k : k + 2], 16) / 255 for k in (1, 3, 5)] for c in show.COLORS[:4]])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    for matrix in simulate:
        x, y, z = np.cbrt(np.clip(linear @ np.transpose(matrix), 0, 1) @ to_xyz.T / white).T
        lab = np.stack([116 * y, 500 * (x - y), 200 * (y - z)], -1)
        distance = np.linalg.norm(lab[:, None] - lab[None], axis=-1)
        assert distance[~np.eye(4, dtype=bool)].min() > 20


def test_cycle_combines_colours_and_line_styles():
    cycle = matplotlib.rcParams["axes.prop_cycle"].by_key()
    assert cycle["color"] == show.COLORS
    pairs = {(c, str(s)) for c, s in zip(cycle["color"], cycle["linestyle"], strict=True)}
    assert len(pairs) == len(show.COLORS) == len(show.MARKERS)
    assert len({str(s) for s in show.LINESTYLES[:5]}) == 5


def test_text_of_a_panel_is_readable_on_a_phone():
    pixels_per_point = 340 / (3.5 * 72)
    assert matplotlib.rcParams["xtick.labelsize"] * pixels_per_point >= 10
    assert matplotlib.rcParams["axes.labelsize"] * pixels_per_point >= 11


# --- figures -----------------------------------------------------------------------------------


def test_svg_is_deterministic():
    first, second = (drawing.Sheet().inline(line(raster=True), ALT)[0] for _ in range(2))
    assert first == second


def test_svg_follows_the_page_and_is_well_formed():
    svg, width = drawing.Sheet().inline(line(), ALT)
    root = ElementTree.fromstring(svg)
    assert width == pytest.approx(336)
    assert root.get("role") == "img" and root.get("aria-label") == ALT
    assert "currentColor" in svg
    for leftover in (show.INK, "#000000", "<style", "metadata", "<!--", "xlink", "white", "#fff"):
        assert leftover not in svg
    names = {e.get("id") for e in root.iter()} - {None}
    assert set(re.findall(r"#(ff-[^\")]+)", svg)) == names


def test_ids_are_unique_across_figures(shown):
    show.figure(line(), alt=ALT)
    show.figure(line(), line(2.0), alt=ALT)
    show.slider(line, "slope", [1, 2, 3], alt="A line of slope {value} from zero.", live=False)
    show.guess("Which?", ["a", "b"])
    show.guess("Which?", ["a", "b"])
    html = shown()
    found = ids(html)
    assert len(found) > 20 and len(found) == len(set(found))
    references = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)|\bfor="([^"]+)"', html)
    assert {"".join(r) for r in references} <= set(found)
    assert len(set(re.findall(r'name="(ff[^"]+)"', html))) == 2
    assert markup.PLACEHOLDER not in re.sub(r"<(style|script)>.*?</\1>", "", html, flags=re.S)


def test_rasters_become_webp():
    svg, _ = drawing.Sheet().inline(line(raster=True), ALT)
    assert "data:image/webp;base64," in svg and "image/png" not in svg


def test_alt_is_escaped_in_attributes(shown):
    alt = 'A "bold" line: a < b & c > d, as it\'s drawn.'
    show.figure(line(), alt=alt)
    show.figure(line(), line(), alt=alt, caption="x < y")
    html = shown()
    assert "a < b" not in html and "x &lt; y" in html
    roots = re.findall(r'aria-label="([^"]+)"', html)
    assert len(roots) == 2 and all("&quot;bold&quot;" in r and "&lt;" in r for r in roots)


def test_panels_of_a_row_share_one_description(shown):
    show.figure(line(), line(2.0), alt=ALT, caption="Two lines.")
    html = shown()
    assert html.count('role="img"') == 1 and html.count('aria-hidden="true"') == 2
    assert "<figcaption" in html and "Two lines." in html


def test_pyplot_figures_are_closed(shown):
    import matplotlib.pyplot as plt

    with matplotlib.rc_context():
        matplotlib.use("agg")
        fig, _ = plt.subplots()
        show.figure(fig, alt=ALT)
        assert not plt.get_fignums()


@pytest.mark.parametrize("alt", ["", "  ", "too short"])
def test_short_alt_is_refused(alt):
    with pytest.raises(ValueError, match="alt must have at least 20 characters"):
        show.figure(line(), alt=alt)
    with pytest.raises(ValueError, match="alt"):
        show.images({"a": np.zeros((4, 4))}, alt=alt)
    with pytest.raises(ValueError, match="alt"):
        show.slider(line, "slope", [1, 2], alt=alt)


def test_figure_refuses_other_things():
    with pytest.raises(TypeError):
        show.figure(line())
    with pytest.raises(TypeError, match="got tuple"):
        show.figure(show.panel(), alt=ALT)
    with pytest.raises(ValueError, match="at least one"):
        show.figure(alt=ALT)
    with pytest.raises(TypeError, match="alt must be a str, but got int 3"):
        show.figure(line(), alt=3)


# --- pictures ----------------------------------------------------------------------------------


def test_images(shown):
    pictures = {"a < b": jnp.ones((8, 16, 3)), "grey": np.full((8, 16), 2.0)}
    show.images(pictures, alt=ALT, caption="White, twice.")
    html = shown()
    assert 'class="ff-caption">White, twice.</figcaption>' in html
    assert html.count("data:image/webp;base64,") == 2
    assert 'alt="a &lt; b"' in html and f'aria-label="{ALT}"' in html
    assert html.count("image-rendering:pixelated") == 2 and 'width="160"' in html


def test_images_round_trip_and_clip():
    import base64
    import io

    from PIL import Image

    pixels = np.array([[0.0, 0.5, 1.0]])
    uri = drawing.data_uri(drawing._picture("x", pixels))
    back = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).convert("L"))
    np.testing.assert_array_equal(back, [[0, 128, 255]])
    clipped = drawing._picture("x", np.array([[-1.0, 3.0]]))
    np.testing.assert_array_equal(np.asarray(clipped), [[0, 255]])


@pytest.mark.parametrize(
    "array, message",
    [
        (np.zeros(5), "shape"),
        (np.zeros((4, 4, 2)), "shape"),
        (np.zeros((0, 4)), "shape"),
        (np.zeros((1, 16_384)), "at most 16383 pixels a side"),
        (np.full((4, 4), np.nan), "16 entries that are NaN or infinite"),
        (np.zeros((4, 4), complex), "real"),
    ],
)
def test_images_refuse_wrong_arrays(array, message):
    with pytest.raises(ValueError, match=message):
        show.images({"noise": array}, alt=ALT)


def test_images_refuse_wrong_arguments():
    with pytest.raises(ValueError, match="dict"):
        show.images({}, alt=ALT)
    with pytest.raises(ValueError, match="zoom"):
        show.images({"a": np.zeros((4, 4))}, alt=ALT, zoom=0)


ON_A_PAGE = {1: [1], 3: [3], 4: [4], 5: [5], 6: [3, 3], 8: [4, 4]}
ON_A_PHONE = {1: [1], 3: [3], 4: [2, 2], 5: [3, 2], 6: [3, 3], 8: [2, 2, 2, 2]}


@pytest.mark.parametrize(
    "width, rows",
    [(688, ON_A_PAGE), (358, ON_A_PHONE), (294, ON_A_PHONE)],
    ids=["page", "phone", "slider"],
)
@pytest.mark.parametrize("count", ON_A_PAGE)
def test_images_stand_side_by_side(shown, chromium, count, width, rows):
    show.images({f"picture {i}": np.zeros((112, 112)) for i in range(count)}, alt=ALT)
    tab = chromium.new_page()
    tab.set_content(f'<div style="width:{width}px">{shown()}</div>')
    boxes = tab.eval_on_selector_all(
        ".ff-picture img",
        "all => all.map(e => e.getBoundingClientRect()).map(b => [b.x, b.y, b.width])",
    )
    tab.close()
    assert [sum(y == b[1] for b in boxes) for y in sorted({b[1] for b in boxes})] == rows[count]
    assert max(b[2] for b in boxes) - min(b[2] for b in boxes) < 1  # all of one size
    assert max(b[0] + b[2] for b in boxes) <= 8 + width + 1  # the body's margin is 8


@pytest.mark.parametrize(
    "width, size, rows", [(688, 2.35, [3]), (358, 2.35, [2, 1]), (358, 3.5, [1, 1, 1])]
)
def test_small_figures_stay_side_by_side_on_a_phone(shown, chromium, width, size, rows):
    show.figure(*(show.panel(width=size)[0] for _ in range(3)), alt=ALT)
    tab = chromium.new_page()
    tab.set_content(f'<div style="width:{width}px">{shown()}</div>')
    tops = tab.eval_on_selector_all(".ff-panel", "all => all.map(e => e.getBoundingClientRect().y)")
    tab.close()
    assert [tops.count(y) for y in sorted(set(tops))] == rows


# --- sliders -----------------------------------------------------------------------------------

SLOPES = "A line of slope {value} from zero."


def test_static_slider_html(monkeypatch):
    monkeypatch.setenv("FFLIB_STATIC", "1")
    made = show.slider(
        line, "slope", [0.5, 1.0, 2.0], alt=SLOPES, label="Slope <s>", unit="V/s", start=1.0
    )
    bundle = made._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html"}
    assert bundle["text/plain"] == "A line of slope 1 from zero."
    html = bundle["text/html"]
    control = re.search(r'<input id="([^"]+)" type="range" min="0" max="2"[^>]*>', html)
    assert f'<label for="{control[1]}">Slope &lt;s&gt;</label>' in html
    assert 'value="1"' in control[0] and 'aria-valuetext="1 V/s"' in control[0]
    frames = re.findall(r'<div class="ff-frame" data-text="([^"]+)"( hidden)?>', html)
    assert frames == [("0.5 V/s", " hidden"), ("1 V/s", ""), ("2 V/s", " hidden")]
    assert re.findall(r'aria-label="([^"]+)"', html) == [
        SLOPES.format(value=v) for v in ("0.5", 1, 2)
    ]
    assert "<script>" not in html and "src=http" not in html


def test_static_slider_draws_now_and_once(monkeypatch):
    monkeypatch.setenv("FFLIB_STATIC", "1")
    drawn = []
    made = show.slider(lambda v: (drawn.append(v), line(v))[1], "slope", [1, 2, 3], alt=SLOPES)
    made._repr_mimebundle_()
    made._repr_mimebundle_()
    assert drawn == [1, 2, 3]


def test_plain_script_draws_the_start_frame_only(monkeypatch, capsys):
    monkeypatch.delenv("FFLIB_STATIC", raising=False)
    monkeypatch.delenv("FFLIB_OUT", raising=False)
    drawn = []
    show.slider(lambda v: (drawn.append(v), line(v))[1], "slope", [1, 2, 3], alt=SLOPES, start=2)
    assert drawn == [2]
    assert capsys.readouterr().out == "A line of slope 2 from zero.\n"


def test_frames_share_letter_shapes(monkeypatch):
    monkeypatch.setenv("FFLIB_STATIC", "1")
    sizes = [
        len(show.slider(line, "s", list(range(1, n)), alt=SLOPES)._repr_mimebundle_()["text/html"])
        for n in (3, 4)
    ]
    assert sizes[1] - sizes[0] < 0.7 * len(drawing.Sheet().inline(line(), ALT)[0])


def test_slider_of_pictures_and_of_words(monkeypatch):
    monkeypatch.setenv("FFLIB_STATIC", "1")
    made = show.slider(
        lambda v: {v: np.zeros((4, 4))},
        "mapping",
        ["none", "basic"],
        alt=lambda v: f"Result of {v} mapping.",
    )
    html = made._repr_mimebundle_()["text/html"]
    assert html.count("image/webp") == 2 and 'aria-label="Result of basic mapping."' in html


def test_slider_errors(monkeypatch):
    monkeypatch.setenv("FFLIB_STATIC", "1")
    with pytest.raises(ValueError, match="2 to 16 values, but got 17"):
        show.slider(line, "slope", range(17), alt=SLOPES)
    with pytest.raises(ValueError, match="2 to 16 values, but got 0"):
        show.slider(line, "slope", [], alt=SLOPES)
    with pytest.raises(ValueError, match="differ"):
        show.slider(line, "slope", [1, 1], alt=SLOPES)
    with pytest.raises(ValueError, match="start"):
        show.slider(line, "slope", [1, 2], alt=SLOPES, start=3)
    with pytest.raises(ValueError, match=r"\{value\}"):
        show.slider(line, "slope", [1, 2], alt=ALT)
    with pytest.raises(TypeError, match="draw's result"):
        show.slider(lambda v: None, "slope", [1, 2], alt=SLOPES)
    with pytest.raises(ZeroDivisionError):
        show.slider(lambda v: 1 / 0, "slope", [1, 2], alt=SLOPES)


def test_slider_size_limit(monkeypatch):
    noise = np.random.default_rng(0).random((400, 400, 3))
    with pytest.raises(ValueError, match=r"take at most 1 MB: give fewer values.*got \d\.\d\d MB"):
        show.slider(lambda v: {"noise": noise}, "k", list(range(16)), alt=SLOPES, live=False)


# --- live sliders ------------------------------------------------------------------------------


@pytest.fixture
def widgets():
    return pytest.importorskip("ipywidgets")


def only_positive(slope):
    if slope <= 0:
        raise ValueError("slope must be positive, not <0")
    return line(slope)


@pytest.mark.parametrize("values", [[1, 2, 3], [0.5, 1.0, 1.5], [1, 2, 7.5], [3, 2, 1]])
def test_live_slider(widgets, values):
    made = show.slider(only_positive, "slope", values, alt=SLOPES, live=True, unit="V")
    live = made.widget
    assert not live.control.continuous_update and not live.entry.continuous_update
    assert [text for text, _ in live.control.options] == [f"{value:g} V" for value in values]
    first = live.picture.value
    live.control.value = values[1]
    assert live.value == values[1] and live.picture.value != first and live.message.value == ""
    assert live.entry.value == values[1]
    between = 5 if isinstance(values[-1], int) else 1.23456
    live.entry.value = between
    assert live.value == between and live.entry.value == between and live.message.value == ""
    assert live.control.value == min(values, key=lambda v: abs(v - between))
    kept = live.picture.value
    live.entry.value = -3
    assert live.picture.value == kept and live.value == between
    assert "ValueError: slope must be positive, not &lt;0" in live.message.value
    live.entry.value = values[0]
    assert live.message.value == "" and live.value == values[0]


def test_live_slider_of_integers_draws_integers_and_each_once(widgets):
    drawn = []
    made = show.slider(
        lambda v: (drawn.append(v), line(v))[1], "width", [1, 2, 4, 8], alt=SLOPES, live=True
    )
    live = made.widget
    live.entry.value = 3
    live.control.value = 4
    live.control.value = 2
    live.entry.value = 4
    assert drawn == [1, 3, 4, 2] and all(isinstance(v, int) for v in drawn)


def test_live_slider_of_words(widgets):
    made = show.slider(
        lambda v: line(len(v)), "mapping", ["none", "gaussian"], alt=SLOPES + "!", live=True
    )
    live = made.widget
    assert live.entry is None
    first = live.picture.value
    live.control.value = "gaussian"
    assert live.value == "gaussian" and live.picture.value != first


def test_live_bundle_falls_back_to_the_current_frame(widgets):
    made = show.slider(line, "slope", [1, 2, 3], alt=SLOPES, live=True, unit="V")
    made.widget.control.value = 2
    bundle = made._repr_mimebundle_()
    assert bundle[markup.VIEW]["model_id"] == made.widget.box.model_id
    html = bundle["text/html"]
    assert html.count('class="ff-frame"') == 1 and 'data-text="2 V"' in html
    assert "<input" not in html and " hidden" not in html


def test_live_slider_raises_at_once_when_the_start_fails(widgets):
    with pytest.raises(ValueError, match="slope must be positive"):
        show.slider(only_positive, "slope", [-1, 1], alt=SLOPES, live=True)


# --- guesses, claims, exercises ----------------------------------------------------------------


def test_guess_and_reveal(shown, capsys):
    asked = show.guess("Is 1 < 2?", ["yes, of course", "no"])
    asked.reveal(jnp.argmax(jnp.array([3.0, 1.0])), "1 & 2 were compared.")
    asked.reveal("no")
    html = shown()
    group = re.findall(r'<input type="radio" name="([^"]+)" value="(\d)"', html)
    assert [v for _, v in group] == ["0", "1"] and len({g for g, _ in group}) == 1
    assert "<legend>Your guess: Is 1 &lt; 2?</legend>" in html
    assert html.count("<label><input") == 2
    assert f'data-ff-reveal="{group[0][0]}" data-ff-answer="0"' in html
    assert "<strong>Measured:</strong> yes, of course. 1 &amp; 2 were compared." in html
    printed = capsys.readouterr().out
    assert "Is 1 < 2?\n  ( ) yes, of course\n  ( ) no" in printed
    assert "Measured: yes, of course. 1 & 2 were compared.\nMeasured: no." in printed


def test_guess_errors(shown):
    with pytest.raises(ValueError, match="2 to 6"):
        show.guess("Which?", ["only one"])
    with pytest.raises(ValueError, match="2 to 6"):
        show.guess("Which?", ["same", "same"])
    asked = show.guess("Which?", ["a", "b"])
    for answer in (2, -1, "c"):
        with pytest.raises(ValueError, match="answer must be one of"):
            asked.reveal(answer)


def test_check(capsys):
    show.check("two is more than one", np.array([True]), "2 > 1")
    show.check("so is three", jnp.array(3) > 1)
    assert capsys.readouterr().out == "✓ two is more than one (2 > 1)\n✓ so is three\n"
    with pytest.raises(AssertionError, match=r"two is less than one \(2 < 1\)"):
        show.check("two is less than one", 2 < 1, "2 < 1")
    with pytest.raises(ValueError, match=r"shape \(2,\)"):
        show.check("both", np.array([True, True]))


def test_a_page_gathers_its_claims(shown, monkeypatch):
    monkeypatch.setenv("FFLIB_STATIC", "1")
    show.check("two < three", True, "2e-05 dB")
    assert (
        '<p class="ff-claim">two &lt; three (2\u00a0×\u00a010<sup>−5</sup>\u00a0dB)</p>' in shown()
    )


def test_a_stream_without_greek_or_ticks_ends_no_run(monkeypatch):
    """As on Windows, when the output goes into a file."""
    kept = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(kept, encoding="cp1252", newline=""))
    show.check("λ − 1 is positive", True, "λ = 2 ± 1")
    show.attempt(lambda f: None, len)
    show.table([["α", -1.5]], ["σ", "x"], "Of σ")
    sys.stdout.flush()
    said = kept.getvalue().decode("cp1252")
    assert said.startswith("OK ? - 1 is positive (? = 2 ± 1)\nOK len: right\nOf ?\n")
    assert "?  -1.5" in said


def test_attempt(capsys):
    def check_double(double):
        assert double(2) == 4, "double(2) should be 4"

    def stub(x):
        raise NotImplementedError

    def broken(x):
        return x.y

    for mine in (stub, lambda x: x, broken, lambda x: 2 * x):
        show.attempt(check_double, mine)
    printed = capsys.readouterr().out
    assert printed.startswith("stub: not written yet")
    assert "not right yet: double(2) should be 4" in printed
    assert "broken: stopped with AttributeError" in printed
    assert printed.endswith("✓ <lambda>: right\n")


def test_table(shown, capsys):
    show.table(
        [["none", 19.3214, -1], ["a<b", 1e-5, "–"]], ["mapping", "PSNR (dB)", "n"], "Results"
    )
    html = shown()
    assert "<caption>Results</caption>" in html and '<th scope="row">a&lt;b</th>' in html
    assert "<td>19.32</td><td>−1</td>" in html and html.count('scope="col"') == 3
    assert "none         19.32  −1" in capsys.readouterr().out
    with pytest.raises(ValueError, match="row 0 must have 2 cells, but got 1"):
        show.table([["none"]], ["mapping", "PSNR"], "Results")


def test_table_puts_words_left_and_numbers_right(shown):
    show.table(
        [
            ["a", "ValueError: no", "−1.2 ± 0.3 dB", "tie", 1.0, "no", "12 of 13 pairs"],
            ["b", "–", "too large to try", "–", 2.0, "yes", "all of them, or so"],
            ["c", "(in brackets)", "3e-4", "lower", np.nan, "no", "1 of 3"],
        ],
        ["name", "answer", "gain", "verdict", "x", "any", "pairs"],
        "Of both kinds",
    )
    html = shown()
    assert re.findall(r'<th scope="col"( class="ff-words")?>(\w+)', html) == [
        ("", "name"),
        (' class="ff-words"', "answer"),
        ("", "gain"),
        (' class="ff-words"', "verdict"),
        ("", "x"),
        (' class="ff-words"', "any"),
        ("", "pairs"),
    ]
    assert html.count('<td class="ff-words">') == 9 and "<td>nan</td>" in html


@pytest.mark.parametrize(
    "typed, page",
    [
        ("-0.46 ± 0.71", "−0.46 ±\u00a00.71"),
        ("(-.5)", "(−.5)"),
        ("9.742e-07", "9.742\u00a0×\u00a010<sup>−7</sup>"),
        ("−9.09e-07", "−9.09\u00a0×\u00a010<sup>−7</sup>"),
        ("2.81e+05 GB", "2.81\u00a0×\u00a010<sup>5</sup> GB"),
        ("2e+00", "2"),
        ("21.6 dB, × 3, 5 %, 6%", "21.6\u00a0dB, ×\u00a03, 5\u00a0%, 6\u00a0%"),
        ("1/f^1.5, t = 10", "1/f<sup>1.5</sup>, t = 10"),
        ("a<b", "a&lt;b"),
        ("32-bit, 1-2, x-1.png, float3e-4, n+1", "32-bit, 1-2, x-1.png, float3e-4, n+1"),
    ],
)
def test_numbers_are_typeset_in_tables(shown, capsys, typed, page):
    show.table([[typed, typed]], ["of " + typed, "b"], "Numbers")
    html = shown()
    assert f'<th scope="row">{page}</th>' in html and f">{page}</td>" in html
    assert f">of {page}</th>" in html and f"\n{typed} " in capsys.readouterr().out


def test_floats_of_a_column_share_their_decimals(shown, capsys):
    rows = [
        ["a", 19.3214, 0.5, 1.0, 1e-5],
        ["b", 7.5, 1.25, 2.0, 3.5],
        ["c", np.nan, 2, 3.0, -np.inf],
    ]
    show.table(rows, ["", "x", "y", "z", "w"], "Numbers")
    cells = [line.split() for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[1] for row in cells] == ["19.32", "7.50", "nan"]
    assert [row[2] for row in cells] == ["0.500", "1.250", "2"]  # a whole number stays one
    assert [row[3] for row in cells] == ["1", "2", "3"]
    assert [row[4] for row in cells] == ["1e-05", "3.5", "−∞"]  # too far apart


def test_table_without_rows(shown):
    show.table([], ["name", "gain"], "Nothing yet")
    assert shown().count('scope="col"') == 2


def test_scale_and_pick(monkeypatch):
    monkeypatch.delenv("FFLIB_SCALE", raising=False)
    assert show.scale() == "quick" and show.pick(quick=1, full=2) == 1
    monkeypatch.setenv("FFLIB_SCALE", "full")
    assert show.scale() == "full" and show.pick(quick=1, full=2) == 2
    monkeypatch.setenv("FFLIB_SCALE", "huge")
    with pytest.raises(ValueError, match="FFLIB_SCALE must be one of 'quick', 'full'"):
        show.scale()


# --- where it runs -----------------------------------------------------------------------------


def test_widgets_need_a_kernel_ipywidgets_and_no_build(widgets, monkeypatch):
    monkeypatch.delenv("FFLIB_STATIC", raising=False)
    assert not markup.live()  # a plain script
    monkeypatch.setattr(markup, "shell", lambda: SimpleNamespace())  # IPython in a terminal
    assert not markup.live()
    monkeypatch.setattr(markup, "shell", lambda: SimpleNamespace(kernel="a kernel"))
    assert markup.live()
    monkeypatch.setenv("FFLIB_STATIC", "1")
    assert not markup.live()
    monkeypatch.setenv("FFLIB_STATIC", "0")
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    assert not markup.live()


def test_works_without_ipython_and_ipywidgets(tmp_path):
    program = f"""
import sys
for absent in ("IPython", "ipywidgets", "ipykernel"):
    sys.modules[absent] = None
from fflib import show
fig, ax = show.panel()
ax.plot([0, 1])
show.figure(fig, alt={ALT!r})
show.slider(lambda v: {{"x": [[v / 2]]}}, "v", [0, 1], alt="A grey pixel of value {{value}}/2.")
show.guess("Which?", ["a", "b"]).reveal(0)
"""
    environment = {"PYTHONPATH": ":".join(p for p in sys.path if p), "FFLIB_OUT": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith(f"{ALT}\nA grey pixel of value 0/2.\nWhich?")
    assert len(list(tmp_path.glob("*.html"))) == 4


def test_display_in_ipython(monkeypatch):
    ipython = pytest.importorskip("IPython.display")
    seen = []
    monkeypatch.setattr(markup, "shell", lambda: object())
    monkeypatch.setattr(ipython, "display", lambda bundle, raw: seen.append(bundle))
    show.figure(line(), alt=ALT)
    assert seen[0]["text/plain"] == ALT and "<svg" in seen[0]["text/html"]


# --- texts that do not fit --------------------------------------------------------------------


def labelled(label: str):
    fig, ax = show.panel("a title", height=2.0)
    ax.plot([0, 1], label="curve")
    ax.set(xlabel="position", ylabel=label)
    fig.legend(loc="outside lower center")
    return fig, ax


def test_a_label_that_fits_is_left_alone():
    fig, ax = labelled("error (dB)")
    assert drawing.overflowing(fig) == []
    drawing.fit_texts(fig)
    assert ax.get_ylabel() == "error (dB)"


def test_a_label_too_long_is_broken_in_two():
    fig, ax = labelled("PSNR of the blurred photograph (dB)")
    assert drawing.overflowing(fig) == [ax.yaxis.label]
    drawing.fit_texts(fig)
    assert ax.get_ylabel() == "PSNR of the blurred\nphotograph (dB)"
    assert drawing.overflowing(fig) == []


@pytest.mark.parametrize("where", ["label", "legend", "title", "annotation"])
def test_a_text_that_cannot_fit_fails_the_build_and_not_the_reader(monkeypatch, where):
    fig, ax = labelled("error")
    text = "immeasurably" * 12
    {
        "label": lambda: ax.set_xlabel(text),
        "legend": lambda: fig.legends[0].get_texts()[0].set_text(text),
        "title": lambda: ax.set_title(text),
        "annotation": lambda: ax.text(0.5, 0.5, text, in_layout=False),
    }[where]()
    monkeypatch.setenv("FFLIB_STATIC", "0")
    drawing.fit_texts(fig)
    monkeypatch.setenv("FFLIB_STATIC", "1")
    with pytest.raises(ValueError, match="cuts off its text 'immeasurably"):
        drawing.fit_texts(fig)


# --- files to take home --------------------------------------------------------------------------


def test_a_download_holds_the_file(shown, capsys):
    data = bytes(range(256)) * 500
    show.download(data, "mesh.ply", "binary PLY, 3 < 4 vertices")
    (link,) = re.findall(r"<a [^>]*>.*?</a>", shown())
    name, address = re.search(
        r'download="([^"]*)" href="data:application/octet-stream;base64,([^"]*)"', link
    ).groups()
    assert name == "mesh.ply" and base64.b64decode(address, validate=True) == data
    assert link.endswith(">Download mesh.ply (binary PLY, 3 &lt; 4 vertices, 0.1 MB)</a>")
    assert (
        capsys.readouterr().out
        == "A file to take home: mesh.ply (binary PLY, 3 < 4 vertices, 0.1 MB)\n"
    )


@pytest.mark.parametrize(
    ("data", "name", "says", "error"),
    [
        ("text", "a.ply", "a mesh", "data must be a bytes, but got str"),
        (b"", "a.ply", "a mesh", "data must hold 1 to .* got 0"),
        (bytes(1_500_001), "a.ply", "a mesh", "data must hold .* got 1500001"),
        (b"1", "../a.ply", "a mesh", "name must be a plain file name .* got '../a.ply'"),
        (b"1", 'a".ply', "a mesh", "name must be a plain file name"),
        (b"1", "a.ply", " ", "says must not be empty"),
    ],
)
def test_bad_downloads(data, name, says, error):
    with pytest.raises((TypeError, ValueError), match=error):
        show.download(data, name, says)
