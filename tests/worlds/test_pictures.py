"""Pictures of every kind a reader may bring, generated pages, photographs, blur."""

import hashlib
import math
import warnings
import zipfile
from importlib import resources

import jax
import numpy as np
import oracles
import pytest
from PIL import Image

from fflib import data
from fflib.worlds import pictures
from fflib.worlds.fetch import FetchError

KEY = jax.random.key(0)
BYTES = np.random.default_rng(0).integers(0, 256, (6, 8, 4), np.uint8)


# --- load_image: the same picture in many wrappings


@pytest.mark.parametrize("suffix", ["png", "bmp", "webp", "tif"])
def test_a_file_and_an_array_give_the_same(tmp_path, suffix):
    Image.fromarray(BYTES[..., :3]).save(
        tmp_path / f"x.{suffix}", **({"lossless": True} if suffix == "webp" else {})
    )
    y = pictures.load_image(tmp_path / f"x.{suffix}")
    assert y.shape == (6, 8, 3) and y.dtype == np.float32
    np.testing.assert_allclose(y, BYTES[..., :3] / 255, atol=1e-6)
    np.testing.assert_array_equal(pictures.load_image(BYTES[..., :3]), y)
    np.testing.assert_array_equal(pictures.load_image(str(tmp_path / f"x.{suffix}")), y)


@pytest.mark.parametrize(
    "grey",
    [
        BYTES[..., 0],
        BYTES[..., :1],
        BYTES[..., 0] * np.uint16(257),
        BYTES[..., 0] / 255,
        (BYTES[..., 0] / 255)[..., None],
    ],
    ids=["bytes", "one channel", "16 bits", "floats", "floats, one channel"],
)
def test_grey_becomes_three_equal_channels(grey):
    y = pictures.load_image(grey)
    np.testing.assert_allclose(y, np.repeat(BYTES[..., :1] / 255, 3, -1), atol=1e-6)


def test_grey_files_of_8_and_16_bits_and_of_one(tmp_path):
    Image.fromarray(BYTES[..., 0]).save(tmp_path / "8.png")
    Image.fromarray(BYTES[..., 0] * np.uint16(257)).save(tmp_path / "16.png")
    Image.fromarray(BYTES[..., 0] > 127).save(tmp_path / "1.png")
    eight, sixteen, one = (
        np.asarray(pictures.load_image(tmp_path / f"{n}.png")) for n in (8, 16, 1)
    )
    np.testing.assert_allclose(eight, sixteen, atol=1e-6)
    np.testing.assert_array_equal(one[..., 2], BYTES[..., 0] > 127)


def test_transparency_shows_white(tmp_path):
    alpha = BYTES[..., 3:] / 255
    expected = BYTES[..., :3] / 255 * alpha + (1 - alpha)
    np.testing.assert_allclose(pictures.load_image(BYTES), expected, atol=1e-6)
    Image.fromarray(BYTES).save(tmp_path / "x.png")
    np.testing.assert_allclose(pictures.load_image(tmp_path / "x.png"), expected, atol=1e-6)


def test_a_palette_with_a_transparent_colour(tmp_path):
    picture = Image.new("P", (4, 2))
    picture.putpalette([255, 0, 0, 0, 255, 0])
    picture.putpixel((1, 0), 1)
    picture.save(tmp_path / "x.gif", transparency=0)
    y = np.asarray(pictures.load_image(tmp_path / "x.gif"))
    np.testing.assert_array_equal(y[0, :2], [[1, 1, 1], [0, 1, 0]])


def test_a_turned_photograph_stands_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side
    Image.fromarray(BYTES[..., :3]).save(tmp_path / "x.png", exif=exif)
    np.testing.assert_allclose(
        pictures.load_image(tmp_path / "x.png"), np.rot90(BYTES[..., :3], -1) / 255, atol=1e-6
    )


@pytest.mark.parametrize(("shape", "even"), [((7, 9), (6, 8)), ((2, 3), (2, 2)), ((5, 4), (4, 4))])
def test_odd_sizes_lose_the_last_row_or_column(shape, even):
    y = np.random.default_rng(1).random((*shape, 3)).astype(np.float32)
    got = pictures.load_image(y)
    np.testing.assert_array_equal(got, y[: even[0], : even[1]])
    data.train_test_image(got)


def test_size_cuts_the_middle_and_averages():
    y = np.random.default_rng(1).random((12, 20, 3)).astype(np.float32)
    middle = y[:, 4:16]
    np.testing.assert_array_equal(pictures.load_image(y, 12), middle)
    means = middle.reshape(4, 3, 4, 3, 3).mean((1, 3))
    np.testing.assert_allclose(pictures.load_image(y, 4), means, atol=1e-6)


@pytest.mark.parametrize(
    ("bad", "error", "says"),
    [
        (
            np.full((4, 4), 255.0),
            ValueError,
            r"\[0, 1\].*divide numbers up to 255 by 255.*from 255 to 255",
        ),
        (np.full((4, 4), -0.1), ValueError, r"\[0, 1\]"),
        (np.full((4, 4), np.nan), ValueError, "source has 16 entries that are NaN"),
        (np.zeros((4, 4, 2)), ValueError, r"must have shape .*got \(4, 4, 2\)"),
        (np.zeros((4, 4, 3, 1)), ValueError, "must have shape"),
        (np.zeros(4), ValueError, "must have shape"),
        (np.zeros((1, 9, 3)), ValueError, "at least 2"),
        (np.zeros((0, 4)), ValueError, "source must not be empty"),
        (np.zeros((4, 4), int), TypeError, "bytes, 16-bit numbers, booleans or floats"),
        (np.zeros((4, 4), complex), TypeError, "bytes, 16-bit"),
        (None, TypeError, "source must be an array of real numbers, but got NoneType None"),
    ],
)
def test_what_is_no_picture_is_refused(bad, error, says):
    with pytest.raises(error, match=says):
        pictures.load_image(bad)


def test_files_that_are_no_pictures(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.png"):
        pictures.load_image(tmp_path / "nowhere.png")
    (tmp_path / "text.png").write_text("not a picture")
    Image.fromarray(BYTES[..., :3]).resize((99, 99)).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:500])
    for name in ("text.png", "cut.png", ""):
        with pytest.raises(ValueError, match=r"^picture .* cannot be read"):
            pictures.load_image(tmp_path / name)


@pytest.mark.parametrize("size", [7, 14, 0])
def test_sizes_that_do_not_fit(size):
    with pytest.raises(ValueError, match="size must be"):
        pictures.load_image(np.zeros((12, 20, 3)), size)


# --- files and objects whose numbers mean more than asarray shows


def grey_files(folder, seed):
    """Random grey files of every mode Pillow writes: (path, what they say or None)."""
    rng = np.random.default_rng(seed)
    unit = rng.random((6, 8)).astype(np.float32)
    for name, array, known in (
        ("float.tif", unit, unit),
        ("float64.tif", unit.astype(np.float64), unit),
        ("bytes.tif", (255 * unit).astype(np.uint8), (255 * unit).astype(np.uint8) / 255),
        ("16.tif", (65535 * unit).astype(np.uint16), (65535 * unit).astype(np.uint16) / 65535),
        ("16.png", (65535 * unit).astype(np.uint16), (65535 * unit).astype(np.uint16) / 65535),
        ("32.tif", (100_000 * unit).astype(np.int32), None),
        ("wide.tif", (255 * unit).astype(np.int32), None),
        ("signed.tif", (200 * unit - 100).astype(np.int32), None),
        ("above.tif", 2 * unit + 1, None),
        ("below.tif", unit - 1, None),
        ("nan.tif", np.where(unit > unit.mean(), unit, np.nan), None),
    ):
        Image.fromarray(array.astype(np.float32) if array.dtype == np.float64 else array).save(
            folder / name
        )
        yield folder / name, known


@pytest.mark.parametrize("seed", range(3))
def test_grey_files_are_read_by_their_own_range_or_refused_by_name(tmp_path, seed):
    for path, known in grey_files(tmp_path, seed):
        if known is None:
            with pytest.raises((ValueError, TypeError), match=path.name):
                pictures.load_image(path)
            with Image.open(path) as file, pytest.raises((ValueError, TypeError), match="source"):
                pictures.load_image(file)
        else:
            got = np.asarray(pictures.load_image(path))
            np.testing.assert_allclose(got, np.repeat(known[..., None], 3, -1), atol=1e-6)
            with Image.open(path) as file:
                np.testing.assert_array_equal(pictures.load_image(file), got)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV"])
def test_a_picture_object_is_what_its_file_is(tmp_path, mode):
    """Palettes, masks and colour spaces: as Pillow itself turns them into red, green and blue."""
    picture = (
        Image.fromarray(BYTES)
        .convert("RGB" if mode == "HSV" else "RGBA")
        .convert("P" if mode == "PA" else mode)
    )
    picture = picture.convert("PA") if mode == "PA" else picture
    rgba = np.asarray(picture.convert("RGBA"), float) / 255
    expected = rgba[..., :3] * rgba[..., 3:] + 1 - rgba[..., 3:]
    np.testing.assert_allclose(pictures.load_image(picture), expected, atol=1e-6)
    if mode in ("1", "L", "LA", "P", "RGB", "RGBA"):
        picture.save(tmp_path / "x.png")
        np.testing.assert_allclose(pictures.load_image(tmp_path / "x.png"), expected, atol=1e-6)


def test_masked_pixels_are_refused():
    array = np.ma.masked_greater(BYTES[..., 0], 127)
    with pytest.raises(ValueError, match=r"source has \d+ masked values: fill them, source.filled"):
        pictures.load_image(array)
    unmasked = np.ma.array(BYTES[..., 0])
    np.testing.assert_array_equal(pictures.load_image(unmasked), pictures.load_image(BYTES[..., 0]))


@pytest.mark.parametrize("kind", ["u1", "<u2", ">u2", "?", "f2", "f4", ">f4", "f8"])
def test_every_type_of_numbers(kind):
    """Floats stand for themselves, bytes and 16 bits for parts of their largest number."""
    for seed in range(3):
        unit = np.random.default_rng(seed).random((4, 6))
        kept = np.dtype(kind)
        top = np.iinfo(kept).max if kept.kind == "u" else 1
        array = (unit > 0.5) if kept.kind == "b" else (top * unit).astype(kept)
        got = np.asarray(pictures.load_image(array))[..., 0]
        np.testing.assert_allclose(got, array.astype(float) / top, atol=1e-6)


@pytest.mark.parametrize("kind", ["i1", "i2", "u4", "i4", "u8", "i8", "c8"])
def test_numbers_of_no_scale_are_refused(kind):
    with pytest.raises(TypeError, match=r"source must hold bytes, 16-bit numbers"):
        pictures.load_image(np.ones((4, 4)).astype(kind))


def test_what_lies_outside_by_rounding_is_taken_on_both_sides():
    y = np.full((4, 4), 0.5)
    for edge, back in ((-1e-7, 0.0), (1 + 1e-7, 1.0)):
        y[0, 0] = edge
        assert pictures.load_image(y)[0, 0, 0] == back
    for far in (-1e-4, 1 + 1e-4):
        y[0, 0] = far
        with pytest.raises(ValueError, match=r"source must hold floats in \[0, 1\]"):
            pictures.load_image(y)


def test_pictures_of_many_megapixels(tmp_path, monkeypatch):
    """Above Pillow's limit a refusal of ours, without its words; below it not even its warning."""
    Image.new("1", (16_000, 13_000)).save(tmp_path / "huge.png")
    with pytest.raises(ValueError, match=r"huge\.png' must have at most 179 megapixels") as caught:
        pictures.load_image(tmp_path / "huge.png")
    assert "bomb" not in str(caught.value)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)
    Image.fromarray(BYTES).resize((8, 8)).save(tmp_path / "large.png")
    assert pictures.load_image(tmp_path / "large.png").shape == (8, 8, 3)


def test_a_tilde_is_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    Image.fromarray(BYTES).save(tmp_path / "x.png")
    np.testing.assert_array_equal(pictures.load_image("~/x.png"), pictures.load_image(BYTES))


def test_lists_of_unequal_lengths():
    with pytest.raises(TypeError, match="source must be an array, but got lists"):
        pictures.load_image([[0.0, 1.0], [0.5]])


# --- pages of text


def test_pages_are_fixed_by_the_key():
    page = pictures.text_image(KEY, 64)
    assert page.shape == (64, 64, 3) and page.dtype == np.float32
    np.testing.assert_array_equal(page, pictures.text_image(jax.random.key(0), 64))
    assert (page != pictures.text_image(jax.random.key(1), 64)).any()


@pytest.mark.parametrize("size", [32, 128, 256])
def test_a_page_is_white_with_ink_on_it(size):
    page = np.asarray(pictures.text_image(KEY, size))
    ink = (page < 1).any(-1)
    assert 0.03 < ink.mean() < 0.6 and page.min() >= 0 and page.max() == 1
    assert len(np.unique(page[ink].round(2), axis=0)) > 20  # colours, and soft edges


def test_pages_of_a_set_differ():
    pages = pictures.text_pages(KEY, 3, 64)
    assert pages.names == ("text00", "text01", "text02") and pages.array.shape == (3, 64, 64, 3)
    np.testing.assert_array_equal(
        pages.array[1], pictures.text_image(jax.random.fold_in(KEY, 1), 64)
    )
    assert (
        pages.sha256
        == pictures.text_pages(KEY, 3, 64).sha256
        != pictures.text_pages(KEY, 2, 64).sha256
    )


@pytest.mark.parametrize("size", [30, 65])
def test_page_sizes(size):
    with pytest.raises(ValueError, match="size must be"):
        pictures.text_image(KEY, size)


# --- photographs


def test_built_in_photographs():
    small = pictures.photographs(16, 64, "builtin")
    assert small.names == pictures.IMAGES and small.array.shape == (3, 64, 64, 3)
    np.testing.assert_allclose(small.array[1], pictures.image("cat", 64), atol=0.01)
    assert pictures.photographs(16, 512, "builtin").names == ("astronaut",)
    with pytest.raises(ValueError, match="size must be at most 512"):
        pictures.photographs(1, 514, "builtin")
    with pytest.raises(ValueError, match="source must be one of"):
        pictures.photographs(1, 64, "imagenet")


@pytest.fixture
def nothing_at_hand(monkeypatch, tmp_path):
    """What a test puts into the folder is all that can be fetched."""

    def fetch(name):
        if not (tmp_path / name).exists():
            raise FetchError(f"could not get {name}")
        return tmp_path / name

    monkeypatch.setattr(pictures, "fetch", fetch)
    return tmp_path


def test_what_cannot_be_fetched_is_replaced_and_said(nothing_at_hand):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        got = pictures.photographs(2, 64)
    assert got.names == ("astronaut", "cat")
    assert [
        "DIV2K_valid_HR.zip" in str(said[0].message),
        "kodim01.png" in str(said[1].message),
    ] == [True, True]
    assert "Taking the builtin photographs instead" in str(said[1].message)


def test_kodak_pictures_are_cut_to_the_middle(nothing_at_hand):
    wide = np.random.default_rng(0).integers(0, 256, (512, 768, 3), np.uint8)
    Image.fromarray(wide).save(nothing_at_hand / "kodim01.png")
    got = pictures.photographs(1, 512, "kodak")
    np.testing.assert_allclose(got.array[0], wide[:, 128:640] / 255, atol=1e-6)
    assert got.names == ("kodim01",) and "Kodak" in got.origin


def test_div2k_pictures_come_out_of_the_archive(nothing_at_hand):
    wide = np.random.default_rng(0).integers(0, 256, (600, 700, 3), np.uint8)
    Image.fromarray(wide).save(nothing_at_hand / "x.png")
    with zipfile.ZipFile(nothing_at_hand / "DIV2K_valid_HR.zip", "w") as archive:
        archive.write(nothing_at_hand / "x.png", "DIV2K_valid_HR/0801.png")
    got = pictures.photographs(1, 512)
    np.testing.assert_allclose(got.array[0], wide[44:556, 94:606] / 255, atol=1e-6)
    assert got.names == ("0801",) and "DIV2K" in got.origin


def test_pictures_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match="arrays of one shape"):
        pictures.collect(["a", "b"], [np.zeros((2, 2, 3)), np.zeros((4, 4, 3))], "x")


# --------------------------------------------------------------------------------------------------
# Built-in photographs

SHA256 = {
    "astronaut": "ec79318f1443cc91a9f1d33d6c805775d51adec8d744b69c173e557945c98d53",
    "cat": "f08432fe730a8eee98fe3a4ecd9606715ca9104f1291c9398056af654f8f57ad",
    "coffee": "055272718f43aff98b46cee92e7260d31d58a6e3a46cbc5522d4108b3c1c6489",
}
FACTS = {
    "astronaut": (512, (0.5552, 0.4156, 0.3788)),
    "cat": (300, (0.5821, 0.4274, 0.3125)),
    "coffee": (400, (0.6016, 0.3053, 0.1823)),
}


@pytest.mark.parametrize("name", pictures.IMAGES)
def test_photographs_are_the_ones_the_book_was_written_with(name):
    stored = resources.files("fflib.worlds").joinpath(f"assets/{name}.webp").read_bytes()
    assert hashlib.sha256(stored).hexdigest() == SHA256[name]
    size, mean = FACTS[name]
    picture = np.asarray(pictures.image(name))
    assert picture.shape == (size, size, 3) and picture.dtype == np.float32
    assert picture.min() >= 0 and 0.8 < picture.max() <= 1
    np.testing.assert_allclose(picture.mean((0, 1)), mean, atol=1e-3)


@pytest.mark.parametrize("name", pictures.IMAGES)
def test_smaller_photographs_are_averages(name):
    """Half the size is the mean of 2 × 2 pixels, rounded to 8 bits along each axis."""
    whole = np.asarray(pictures.image(name))
    half = np.asarray(pictures.image(name, len(whole) // 2))
    n = len(half)
    means = whole.reshape(n, 2, n, 2, 3).mean((1, 3))
    assert np.abs(half - means).max() <= 1.01 / 255
    assert pictures.image(name, 64).shape == (64, 64, 3)
    np.testing.assert_array_equal(pictures.image(name, 64), pictures.image(name, 64))


# --- what is measured on pictures


def two(*shape, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.random(shape)
    return a.astype(np.float32), np.clip(a + 0.2 * rng.normal(size=shape), 0, 1).astype(np.float32)


@pytest.mark.parametrize("shape", [(11, 11), (20, 13)])
def test_ssim_is_what_the_windows_say(shape):
    a, b = two(*shape)
    np.testing.assert_allclose(pictures.ssim(a, b), oracles.ssim(a, b), atol=2e-6)
    np.testing.assert_allclose(
        pictures.ssim(255 * a, 255 * b, peak=255), oracles.ssim(a, b), atol=2e-6
    )


def test_ssim_agrees_with_scikit_image():
    skimage = pytest.importorskip("skimage.metrics")
    a, b = two(40, 33, 3)
    theirs = skimage.structural_similarity(
        a,
        b,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1.0,
        channel_axis=-1,
    )
    np.testing.assert_allclose(pictures.ssim(a, b), theirs, atol=1e-5)


def test_ssim_of_colours_is_the_mean_of_channels():
    a, b = two(16, 18, 3)
    each = [pictures.ssim(a[..., c], b[..., c]) for c in range(3)]
    np.testing.assert_allclose(pictures.ssim(a, b), np.mean(each), rtol=1e-5)
    assert pictures.ssim(a, b) == pictures.ssim(b, a) and pictures.ssim(a, a) == 1


def test_ssim_of_flat_pictures_compares_their_means():
    """No variance: the second factor is 1 and the first one the similarity of two numbers."""
    a, b = np.full((12, 12), 0.3, np.float32), np.full((12, 12), 0.7, np.float32)
    np.testing.assert_allclose(
        pictures.ssim(a, b), (2 * 0.21 + 1e-4) / (0.09 + 0.49 + 1e-4), rtol=1e-3
    )


def test_ssim_of_opposites_is_negative():
    a, _ = two(16, 16)
    assert pictures.ssim(a, 1 - a) < 0 < pictures.ssim(a, 0.5 + 0.5 * a)


def test_measures_of_half_precision_are_taken_in_single():
    a, b = (x.astype(np.float16) for x in two(64, 64))
    assert pictures.ssim(a, b).dtype == pictures.radial_power(a).dtype == np.float32
    wide = a.astype(np.float32), b.astype(np.float32)
    np.testing.assert_array_equal(pictures.ssim(a, b), pictures.ssim(*wide))
    np.testing.assert_array_equal(pictures.radial_power(a), pictures.radial_power(wide[0]))


@pytest.mark.parametrize("shape", [(10, 30), (30, 10, 3), (30,), (1, 30, 30, 3)])
def test_ssim_of_other_shapes(shape):
    with pytest.raises(ValueError, match="pred must"):
        pictures.ssim(np.zeros(shape, np.float32), np.zeros(shape, np.float32))


@pytest.mark.parametrize("shape", [(8, 12), (9, 7), (8, 8, 3)])
def test_radial_power_is_the_mean_over_rings(shape):
    """Against the Fourier sum written out, ring by ring."""
    y = np.random.default_rng(1).random(shape)
    H, W = shape[:2]
    rows, columns = (
        np.exp(-2j * np.pi * np.outer(np.arange(H), np.arange(H)) / H),
        np.exp(-2j * np.pi * np.outer(np.arange(W), np.arange(W)) / W),
    )
    window = np.outer(np.hanning(H), np.hanning(W))
    power = 0
    for channel in np.moveaxis(y.reshape(H, W, -1), -1, 0):
        faded = window * (channel - np.average(channel, weights=window))
        power = power + np.abs(rows @ faded @ columns) ** 2 / (H * W) ** 2 / (y.size / (H * W))
    rings = {}
    for k in range(H):
        for l in range(W):
            radius = math.hypot(min(k, H - k), min(l, W - l))
            rings.setdefault(round(radius), []).append(power[k, l])
    expected = [np.mean(rings[f]) for f in range(min(H, W) // 2)]
    np.testing.assert_allclose(
        pictures.radial_power(y.astype(np.float32)), expected, rtol=1e-4, atol=1e-9
    )


@pytest.mark.parametrize("k", [(6, 0), (0, 6), (-3, 5)])
def test_radial_power_finds_a_wave_in_any_direction(k):
    v = np.stack(np.meshgrid(np.arange(32) / 32, np.arange(32) / 32, indexing="ij"), -1)
    found = np.asarray(
        pictures.radial_power(np.cos(2 * np.pi * v @ np.array(k, float)).astype(np.float32))
    )
    assert found.shape == (16,) and found.argmax() == 6
    away = np.abs(np.arange(16) - 6) > 2
    assert found[away].max() < 1e-4 * found[6]


def test_radial_power_of_a_large_picture():
    """(H W)² of 512 by 512 pixels is no 32-bit whole number."""
    wave = np.cos(2 * np.pi * 6 * np.arange(512) / 512).astype(np.float32)
    small, large = (
        np.asarray(pictures.radial_power(np.tile(w, (len(w), 1)))) for w in (wave[::4], wave)
    )
    assert large.argmax() == 6
    np.testing.assert_allclose(large[6], small[6], rtol=0.05)


def test_radial_power_grows_with_the_square_and_ignores_the_mean():
    y = np.random.default_rng(2).random((16, 16, 3)).astype(np.float32)
    np.testing.assert_allclose(
        pictures.radial_power(3 * y + 0.5), 9 * pictures.radial_power(y), rtol=1e-3, atol=1e-9
    )
    with pytest.raises(ValueError, match="picture must have shape"):
        pictures.radial_power(y[0, 0])
