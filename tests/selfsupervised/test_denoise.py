"""From noisy pictures to weights and back to pictures; what is refused, and what is taken up again."""

from dataclasses import replace

import numpy as np
import pytest
import tifffile

import pellucid
from pellucid import checkpoints
from pellucid.errors import DataError, PellucidError, PictureError, UsageError
from pellucid.images import Picture, read_pages
from pellucid.selfsupervised import LearnOptions, denoise_self, learn, samples, write_page
from pellucid.selfsupervised.samples import gather

SHORT = LearnOptions(steps=12)


def noisy(height=96, width=112, channels=3, low=0.2, high=0.8, sigma=0.05, seed=0):
    """A gradient with noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    clean = np.stack([low + (high - low) * (x + y) / 2] * channels, axis=2)
    return (clean + sigma * rng.standard_normal(clean.shape)).astype(np.float32)


def picture(bit_depth=8, **fields):
    top = 2**bit_depth - 1
    return Picture(pixels=(np.rint(noisy(**fields) * top) / top).astype(np.float32).clip(0, 1), bit_depth=bit_depth)


@pytest.fixture
def weights(tmp_path):
    return tmp_path / "learned.safetensors"


def test_weights_say_all_that_restoring_needs(tmp_path, weights):
    picture().save(tmp_path / "noisy.png")
    learned = learn([tmp_path / "noisy.png"], SHORT, weights)
    about = checkpoints.describe(weights).about
    assert about.keys() == {"task", "made_of", "levels", "factor", "passes", "most"}
    assert about["factor"] == str(learned.noise.factor) == "1"
    assert learned.noise.level == pytest.approx(0.05, rel=0.15)
    assert [float(word) for word in about["most"].split()] == pytest.approx([255**2 * v for v in learned.noise.curve])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["learned.safetensors", "noisy.png"]  # no state is left
    restored = pellucid.restore(tmp_path / "noisy.png", weights=weights)
    assert restored.bit_depth == 8
    assert restored.pixels.shape == (96, 112, 3)


class StopError(Exception):
    """Kills a run."""


@pytest.mark.parametrize("quality", ["best", "fast"])
@pytest.mark.parametrize("stop", [0.3, 0.95])
def test_a_run_that_is_stopped_goes_on_to_the_same_bits(tmp_path, weights, quality, stop, monkeypatch):
    monkeypatch.setattr("pellucid.selfsupervised.distil._MOST_WINDOWS", 2)
    options = replace(SHORT, quality=quality)
    learn([picture()], options, tmp_path / "whole.safetensors")

    def kill(state):
        if state.share >= stop:
            raise StopError

    with pytest.raises(StopError):
        learn([picture()], options, weights, report=kill)
    assert not weights.exists()
    learn([picture()], options, weights)
    assert weights.read_bytes() == (tmp_path / "whole.safetensors").read_bytes()


def test_the_noisiest_picture_bounds_what_is_noise(weights):
    learn([picture(sigma=0.02, seed=seed) for seed in range(3)] + [picture(sigma=0.08)], SHORT, weights)
    bounds = [float(word) for word in checkpoints.describe(weights).about["most"].split()]
    assert bounds == pytest.approx([(0.08 * 255) ** 2] * len(bounds), rel=0.4)


def test_what_was_learned_is_not_learned_again(weights):
    learn([picture()], SHORT, weights)
    learn([picture()], SHORT, weights, report=lambda _: pytest.fail("it learned again"))
    with pytest.raises(PellucidError, match="learned otherwise"):
        learn([picture(seed=1)], SHORT, weights)
    learn([picture(seed=1)], SHORT, weights, overwrite=True)


def test_the_fast_network_is_an_ordinary_one(weights, monkeypatch):
    monkeypatch.setattr("pellucid.selfsupervised.distil._MOST_WINDOWS", 1)
    told = []
    learn([picture()], replace(SHORT, quality="fast"), weights, report=told.append)
    assert checkpoints.describe(weights).system == "tbsn-unet"
    assert [state.share for state in told] == sorted(state.share for state in told)
    assert told[-1].share == 1
    assert {state.doing.split(",")[0] for state in told} == {
        "learning from the noise",
        "making lessons for a faster network",
        "teaching a faster network",
    }
    assert pellucid.restore(picture(), weights=weights).pixels.shape == (96, 112, 3)


@pytest.mark.parametrize("start", ["photographs", "nothing"])
def test_quality_is_told_without_a_clean_picture(start):
    """From the first step on, where it began with something."""
    told = []
    source = picture()
    denoised = denoise_self([source], budget=0.1, start=start, report=told.append)[0]
    assert (told[0].quality is None) == (start == "nothing")
    assert told[-1].quality is not None
    assert denoised.pixels.shape == source.pixels.shape


def test_python_gives_every_page(tmp_path, weights):
    stack = np.stack([np.rint(noisy(channels=1, seed=seed)[..., 0] * 65535) for seed in range(3)]).astype(np.uint16)
    tifffile.imwrite(tmp_path / "stack.tif", stack, photometric="minisblack")
    pages = denoise_self([tmp_path / "stack.tif", picture(16, channels=1)], budget=0.1, save_weights=weights)
    assert [page.bit_depth for page in pages] == [16] * 4
    again = denoise_self([tmp_path / "stack.tif"], weights=weights)
    np.testing.assert_array_equal(again[1].pixels, pages[1].pixels)


def test_a_narrow_range_of_values_is_seen_in_full(weights):
    """As in microscopy: a tenth of what 16 bits count, on a pedestal."""
    learn([picture(16, channels=1, low=0.30, high=0.36, sigma=0.006)], SHORT, weights)
    low, high = map(float, checkpoints.describe(weights).about["levels"].split())
    assert 0.25 < low < 0.30
    assert 0.36 < high < 0.41


def test_scientific_pictures_share_one_span(tmp_path, weights):
    values = [1000 * noisy(channels=1, seed=seed, low=seed * 0.1, high=0.5 + seed * 0.1)[..., 0] for seed in range(2)]
    for seed, plane in enumerate(values):
        tifffile.imwrite(tmp_path / f"{seed}.tif", plane.astype(np.float32), photometric="minisblack")
    learn(sorted(tmp_path.glob("*.tif")), SHORT, weights)
    low, high = map(float, checkpoints.describe(weights).about["span"].split())
    spans = [page.span for seed in range(2) for page in read_pages(tmp_path / f"{seed}.tif")]
    assert spans[0] != spans[1]
    assert (low, high) == (min(low for low, _ in spans), max(high for _, high in spans))
    restored = pellucid.restore(tmp_path / "0.tif", weights=weights)
    assert restored.numbers == "float"
    assert 400 < restored.pixels.max() < 800  # on its own scale


@pytest.mark.parametrize(
    ("pictures", "sentence"),
    [
        ([picture(), picture(channels=1)], "grey and colour"),
        ([picture(), Picture(pixels=noisy(), numbers="float", bit_depth=32, span=(0.0, 1.0))], "whole and of other"),
    ],
    ids=["colours", "numbers"],
)
def test_kinds_that_do_not_go_together_are_refused(weights, pictures, sentence):
    with pytest.raises(UsageError, match=sentence):
        learn(pictures, SHORT, weights)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (picture(sigma=0.0), "no noise"),
        (Picture(pixels=np.full((90, 90, 3), 0.5, np.float32)), "the same"),
        (picture(height=20, width=20), "too few"),
    ],
    ids=["clean", "constant", "small"],
)
def test_what_cannot_be_learned_from_is_refused(weights, source, sentence):
    with pytest.raises(DataError, match=sentence):
        learn([source], SHORT, weights)
    assert not weights.exists()


@pytest.mark.parametrize(
    "options", [{"budget": 0.0}, {"budget": float("inf")}, {"quality": "good"}, {"factor": 0}, {"steps": 10}]
)
def test_options_without_meaning_are_refused(options):
    with pytest.raises(UsageError):
        LearnOptions(**options)


def test_damaged_pictures_are_left_out(tmp_path):
    for name in "ab":
        picture(seed=ord(name)).save(tmp_path / f"{name}.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "a.png").read_bytes()[:9000])
    (tmp_path / "text.png").write_text("no picture")
    paths = [tmp_path / f"{name}.png" for name in ("text", "cut", "a", "b")]
    skipped = []
    gathered, whole = gather(paths, skipped.append), gather(paths[2:])
    assert len(gathered.pictures) == len(skipped) == 2
    for values, expected in zip(gathered.pictures, whole.pictures, strict=True):
        np.testing.assert_array_equal(values, expected)
    with pytest.raises(PictureError, match=r"text\.png"):
        gather(paths[:2], skipped.append)
    with pytest.raises(PictureError, match=r"cut\.png"):
        gather(paths[1:])
    with pytest.raises(DataError, match="no picture"):
        gather([])


def test_of_too_many_pixels_windows_are_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(samples, "_MOST_PIXELS", 3 * 64 * 64)
    monkeypatch.setattr(samples, "_SMALLEST_WINDOW", 64)
    stack = np.stack([np.rint(noisy(height=200, width=300, channels=1, seed=s)[..., 0] * 255) for s in range(9)])
    tifffile.imwrite(tmp_path / "stack.tif", stack.astype(np.uint8), photometric="minisblack")
    found = gather([tmp_path / "stack.tif"])
    assert {values.shape for values in found.pictures} == {(64, 64, 1)}
    assert len(found.pictures) == 3
    whole = stack.astype(np.float32) / 255
    assert any(
        (whole[0, y : y + 64, x : x + 64] == found.pictures[0][..., 0]).all() for y in range(137) for x in range(237)
    )


def test_what_shows_nothing_is_black():
    values = noisy(channels=1)
    values[:40, :40] = np.nan
    source = Picture(pixels=values, numbers="float", bit_depth=32, span=(0.0, 1.0))
    assert (gather([source]).pictures[0][:40, :40] <= 0).all()
    assert np.isfinite(gather([source]).pictures[0]).all()


def test_page(tmp_path, weights):
    learned = learn([picture()], SHORT, weights)
    write_page(tmp_path / "noise.html", learned)
    text = (tmp_path / "noise.html").read_text()
    assert text.count("data:image/png") == 2
    assert "learned.safetensors" in text
    with pytest.raises(PellucidError, match="exists"):
        write_page(tmp_path / "noise.html", learned)
