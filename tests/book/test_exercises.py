"""A checker takes right answers and refuses tempting wrong ones, with a reason; set-up suffices."""

from __future__ import annotations

from functools import cache

import pytest

pytest.importorskip("yaml")
import export
from slices import exercises, needed
from variants import VARIANTS

BOOK = export.Book()
EXERCISES = {e.label: e for page in BOOK.pages.values() for e in exercises(page)}
RIGHT = [(label, code) for label, found in VARIANTS.items() for code in found["right"]]
WRONG = [(label, *pair) for label, found in VARIANTS.items() for pair in found["wrong"]]


@cache
def set_up(label: str) -> dict:
    """The names a reader has who ran what the checker needs of the chapter, and nothing else."""
    exercise, names = EXERCISES[label], {}
    given = [code for name, code in RIGHT if name == label]
    given += [code for name, code, _ in WRONG if name == label]
    exec(needed(exercise.before, "\n".join([exercise.checker, *given, exercise.stub])), names)
    exec(exercise.checker, names)
    return names


def attempt(label: str, code: str) -> None:
    names = dict(set_up(label))
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
