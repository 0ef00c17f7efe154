"""A checker takes right answers and refuses tempting wrong ones, with a reason; set-up suffices."""

from __future__ import annotations

from functools import cache

import pytest

pytest.importorskip("yaml")
import export
from slices import exercises, needed
from variants import VARIANTS

BOOK = export.Book()
PAGES = {e.label: page.name for page in BOOK.pages.values() for e in exercises(page)}
EXERCISES = {e.label: e for page in BOOK.pages.values() for e in exercises(page)}
RIGHT = [(label, code) for label, found in VARIANTS.items() for code in found["right"]]
WRONG = [(label, *pair) for label, found in VARIANTS.items() for pair in found["wrong"]]


@cache
def set_ups(page: str) -> dict[str, dict]:
    """For every exercise of a chapter the names of a reader who ran what the checkers need, no more.

    The chapter runs once; each exercise has a copy of the names as they are where it stands.
    """
    found = [e for e in EXERCISES.values() if PAGES[e.label] == page]
    wanted = {}
    for e in found:
        given = [code for name, code in RIGHT if name == e.label]
        given += [code for name, code, _ in WRONG if name == e.label]
        wanted[len(e.before)] = "\n".join([e.checker, *given, e.stub])
    names, copies = {}, {}
    pieces = needed(found[-1].before, wanted)
    for e in found:
        exec(pieces[len(e.before)], names)
        copies[e.label] = dict(names)
        exec(e.checker, copies[e.label])
    return copies


def attempt(label: str, code: str) -> None:
    names = dict(set_ups(PAGES[label])[label])
    checker, answer = EXERCISES[label].call
    exec(code, names)
    names[checker](names[answer])


def test_every_exercise_has_a_right_variant_and_two_wrong_ones():
    assert set(VARIANTS) == set(EXERCISES)
    for label, found in VARIANTS.items():
        assert found["right"] and len(found["wrong"]) >= 2, label


@pytest.mark.parametrize(("label", "code"), RIGHT, ids=[label for label, _ in RIGHT])
def test_a_right_answer_is_taken(label, code):
    attempt(label, code)


@pytest.mark.parametrize(("label", "code", "said"), WRONG, ids=[w[0] for w in WRONG])
def test_a_wrong_answer_is_refused_with_a_reason(label, code, said):
    with pytest.raises(AssertionError) as refusal:
        attempt(label, code)
    assert said in str(refusal.value)
