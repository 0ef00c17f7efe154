"""What fits where: pictures in a row, and texts that run out of their figure."""

from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text

from fflib.show.markup import static

SLACK = 1.0  # pixels
PAGE, GAP = 654, 16  # CSS pixels: the width of a slider's box on a page, and between pictures


def picture_row(count: int, width: int) -> str:
    """The style of a row of `count` pictures of at most `width` pixels: columns of equal width.

    Up to five stand side by side, so that the eye can compare them; more take several rows of as
    equal length as can be. A phone has two in a row.
    """
    rows = -(-count // 5)
    columns = -(-count // rows)
    least = min(width, (PAGE - GAP * (columns - 1)) // columns)
    return f"--least:{least}px;max-width:{columns * width + (columns - 1) * GAP}px"


def fit_texts(figure: Figure) -> None:
    """Break labels that run out of the figure in two lines.

    One that still does not fit raises ValueError while the book is built (FFLIB_STATIC=1), so that
    no page shows a label cut off; a live notebook shows it as it is.
    """
    if outside := overflowing(figure):
        for text in outside:
            text.set_text(in_two(text.get_text()))
        if static() and (outside := overflowing(figure)):
            text = outside[0].get_text()
            raise ValueError(
                f"a figure cuts off its text {text!r}: shorten it or enlarge the figure"
            )


def overflowing(figure: Figure) -> list[Text]:
    """The texts of a figure that run out of it: labels, titles, legends, annotations.

    Tick labels are left out: matplotlib keeps some that it does not draw.
    """
    figure.draw_without_rendering()
    ticks = {
        text
        for axis in figure.findobj(Axis)
        for text in axis.findobj(Text)
        if text is not axis.label
    }

    def outside(text: Text) -> bool:
        box, frame = text.get_window_extent(), figure.bbox
        low, high = min(box.x0, box.y0), max(box.x1 - frame.width, box.y1 - frame.height)
        return low < -SLACK or high > SLACK

    texts = [text for text in figure.findobj(Text) if text not in ticks]
    return [text for text in texts if text.get_visible() and text.get_text() and outside(text)]


def in_two(text: str) -> str:
    """A text of one line broken at the space nearest to its middle; others as they are."""
    spaces = [i for i, letter in enumerate(text) if letter == " "]
    if not spaces or "\n" in text or "$" in text:
        return text
    middle = min(spaces, key=lambda i: abs(2 * i - len(text)))
    return text[:middle] + "\n" + text[middle + 1 :]
