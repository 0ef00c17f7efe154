"""The image experiment: what trains is what was shown, alone or in company, and it learns."""

import dataclasses

import jax
import numpy as np
import pytest

from fflib.experiments import image
from fflib.experiments.image import Setting
from fflib.experiments.protocol import MAPPINGS, OURS, adam, item_keys
from fflib.worlds import pictures

TINY = Setting(
    30,
    16,
    16,
    dict.fromkeys(MAPPINGS, 5e-3) | {OURS: 0.05},
    {"positional": 2.0, "gaussian": 2.0, OURS: 2.0},
)
PICTURES = pictures.photographs(2, 32, "builtin").array


def test_unseen_pixels_do_not_train():
    """Changing every pixel that is not (even, even) changes nothing of what is painted."""
    noise = np.random.default_rng(0).random(PICTURES.shape).astype(np.float32)
    noise[:, ::2, ::2] = PICTURES[:, ::2, ::2]
    for mapping in ("none", "gaussian"):
        seen, _ = image.paint(PICTURES, item_keys(0, [0, 1]), mapping, TINY)
        hidden, _ = image.paint(noise, item_keys(0, [0, 1]), mapping, TINY)
        np.testing.assert_array_equal(seen, hidden)


@pytest.mark.parametrize("mapping", (*MAPPINGS, OURS))
def test_a_picture_trains_alone_as_in_company(mapping):
    both, history = image.paint(PICTURES, item_keys(0, [0, 1]), mapping, TINY)
    alone, _ = image.paint(PICTURES[1:], item_keys(0, [1]), mapping, TINY)
    assert both.shape == PICTURES.shape and history["loss"].shape == (2, 2)
    np.testing.assert_allclose(both[1], alone[0], atol=2e-3)


def test_each_picture_has_a_network_of_its_own():
    twice = np.stack([PICTURES[0]] * 2)
    painted, _ = image.paint(twice, item_keys(0, [0, 1]), "none", TINY)
    assert np.abs(painted[0] - painted[1]).max() > 1e-3


def test_ours_is_gaussian_with_another_start_and_optimizer():
    """From the same keys and at the same scale, one step that is nearly none shows the start alone."""
    still = dataclasses.replace(TINY, steps=1)
    start = {
        m: image.paint(PICTURES, item_keys(0, [0, 1]), m, still, optimizer=adam(1e-9))[0]
        for m in ("gaussian", OURS)
    }
    logit = {m: np.log(p / (1 - p)) for m, p in start.items()}
    moved = logit[OURS] - logit["gaussian"]
    mean = PICTURES[:, ::2, ::2].mean((1, 2))
    np.testing.assert_allclose(
        moved, np.broadcast_to(np.log(mean / (1 - mean))[:, None, None], moved.shape), atol=1e-4
    )
    _painted, history = image.paint(PICTURES, item_keys(0, [0, 1]), OURS, TINY)
    _, plain = image.paint(PICTURES, item_keys(0, [0, 1]), "gaussian", TINY)
    assert (history["loss"][-1] < plain["loss"][-1]).all()


def test_looks_are_the_pictures_on_the_way():
    painted, history = image.paint(PICTURES, item_keys(0, [0, 1]), "gaussian", TINY, looks=3)
    assert history["step"].tolist() == [0, 10, 20, 30]
    assert history["picture"].shape == (4, *PICTURES.shape)
    np.testing.assert_allclose(history["picture"][-1], painted, atol=1e-5)
    half_mean = 0.5 * np.mean(
        (history["picture"][:, :, ::2, ::2] - PICTURES[:, ::2, ::2]) ** 2, (2, 3, 4)
    )
    np.testing.assert_allclose(history["loss"], half_mean, rtol=1e-3)
    assert (history["loss"][-1] < 0.5 * history["loss"][0]).all()


def test_score_is_of_the_unseen_pixels():
    picture = np.asarray(PICTURES[0])
    painted = picture.copy()
    painted[::2, ::2] += 0.1
    painted[1::2, 1::2] += 0.01
    painted[::2, 1::2] += 7.0  # pixels that count for neither
    scores = image.score(painted, picture)
    np.testing.assert_allclose([scores["psnr"], scores["psnr_seen"]], [40.0, 20.0], atol=0.02)
    np.testing.assert_allclose(
        scores["ssim"], pictures.ssim(painted[1::2, 1::2], picture[1::2, 1::2])
    )


def test_the_papers_numbers():
    """Table 1: steps, width, frequencies, learning rates and scales as published."""
    for setting in (image.NATURAL, image.TEXT):
        assert (setting.steps, setting.width, setting.m) == (2000, 256, 256)

    def papers(numbers):
        return {k: v for k, v in numbers.items() if k != OURS}

    assert papers(image.NATURAL.rates) == {
        "none": 1e-2,
        "basic": 1e-2,
        "positional": 1e-3,
        "gaussian": 1e-3,
    }
    assert papers(image.TEXT.rates) == dict.fromkeys(MAPPINGS, 1e-3)
    assert (papers(image.NATURAL.scales), papers(image.TEXT.scales)) == (
        {"positional": 6.0, "gaussian": 10.0},
        {"positional": 5.0, "gaussian": 14.0},
    )


def test_a_full_run_in_small(tmp_path, monkeypatch):
    """`make results` end to end, on small pages with small networks."""
    from fflib.experiments import protocol, records

    small = protocol.Experiment(
        lambda: pictures.text_pages(jax.random.key(0), 3, 32),
        lambda *part: image._solve(*part, TINY),
        dataclasses.asdict(TINY),
    )
    made = protocol.run({"image_text": small}, folder=tmp_path, say=lambda _: None)["image_text"]
    table = {s.mapping: s for s in records.standings(made["rows"], "psnr")}
    assert tuple(table) == MAPPINGS and all(s.items == 3 for s in table.values())
    assert {r["metric"] for r in made["rows"]} == {"psnr", "ssim", "psnr_seen"}


@pytest.mark.parametrize(
    ("pictures", "keys", "mapping", "says"),
    [
        (PICTURES[0], [0], "none", "pictures must have shape"),
        (PICTURES, [0], "none", r"and 1 keys"),
        (PICTURES[:, :31], [0, 1], "none", "even H and W"),
        (PICTURES * np.nan, [0, 1], "none", "pictures has .* NaN"),
        (PICTURES, [0, 1], "fourier", "mapping must be one of"),
    ],
)
def test_bad_input(pictures, keys, mapping, says):
    with pytest.raises(ValueError, match=says):
        image.paint(pictures, item_keys(0, keys), mapping, TINY)
