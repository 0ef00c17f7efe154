"""What is kept is what the same call gave, and nothing else."""

import re
from pathlib import Path

import numpy as np
import pytest

from fflib.experiments import kept as module
from fflib.experiments.kept import kept


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    return tmp_path


def counted(calls):
    def squares(n, scale=1.0):
        calls.append(n)
        return {"squares": scale * np.arange(n) ** 2}

    return squares


def test_kept_is_computed_once_and_read_from_then_on(folder, monkeypatch, capsys):
    calls = []
    compute = counted(calls)
    monkeypatch.setenv("FFLIB_REMAKE", str(folder))
    first = kept("squares", compute, n=4)
    monkeypatch.delenv("FFLIB_REMAKE")
    capsys.readouterr()
    again = kept("squares", compute, n=4)
    assert calls == [4] and "Kept from" in capsys.readouterr().out
    np.testing.assert_array_equal(first["squares"], again["squares"])


def test_other_settings_or_code_are_computed_and_leave_the_file_alone(folder, monkeypatch):
    calls = []
    monkeypatch.setenv("FFLIB_REMAKE", str(folder))
    kept("squares", counted(calls), n=4)
    monkeypatch.delenv("FFLIB_REMAKE")
    before = (folder / "squares.npz").read_bytes()
    assert len(kept("squares", counted(calls), n=5)["squares"]) == 5

    def squares(n, scale=1.0):
        calls.append(n)
        return {"squares": scale * np.arange(n) ** 3}

    assert kept("squares", squares, n=4)["squares"][3] == 27
    assert calls == [4, 5, 4] and (folder / "squares.npz").read_bytes() == before


def test_layout_is_no_other_code(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "laid_out.py").write_text("def f(n):\n    return {'a': [n, 2], 'b': n}\n")
    (tmp_path / "spread_out.py").write_text(
        "def f(n):\n    return {\n        'a': [n, 2],\n        'b': n,\n    }\n"
    )
    import laid_out
    import spread_out

    assert module._digest(laid_out.f) == module._digest(spread_out.f)


def test_indentation_is_other_code(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    loop = (
        "def f():\n    t = 0\n    for k in range(3):\n        t += k\n{}    t *= 2\n    return t\n"
    )
    (tmp_path / "after.py").write_text(loop.format(""))
    (tmp_path / "within.py").write_text(loop.format("    "))
    import after
    import within

    assert (after.f(), within.f()) == (6, 8)
    assert module._digest(after.f) != module._digest(within.f)


def test_chapters_read_what_their_own_code_gave(monkeypatch):
    """The functions whose results ship are those of the chapters, word for word."""
    shipped = {module.files.read(path)[0]["source"] for path in module.FOLDER.glob("*.npz")}
    found = set()
    for path in (Path(__file__).parents[2] / "book").rglob("*.md"):
        text = path.read_text(encoding="utf-8")
        for name in re.findall(r"\bkept\(\s*f?\"[\w{}]+\",\s*(\w+)", text):
            source = re.search(rf"^def {name}\(.*?(?=^\S)", text, re.DOTALL | re.MULTILINE)[0]
            monkeypatch.setattr("inspect.getsource", lambda _, source=source: source)
            found.add(module._digest(None))
    assert found == shipped


def test_without_a_file_it_computes_and_writes_nothing(folder):
    calls = []
    kept("squares", counted(calls), n=3)
    assert calls == [3] and not list(folder.iterdir())


def test_a_damaged_file_is_told(folder):
    (folder / "squares.npz").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(ValueError, match="damaged"):
        kept("squares", counted([]), n=3)


@pytest.mark.parametrize("path", sorted(module.FOLDER.glob("*.npz")), ids=lambda p: p.stem)
def test_shipped_files_are_small_and_finite(path):
    assert path.stat().st_size < 300_000
    about, arrays = module.files.read(path)
    assert about["seconds"] > 0 and all(np.isfinite(x).all() for x in arrays.values())
