"""Measuring is repeatable, follows the protocol it names, and is saved whole."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from little import smooth_pixels
from pellucid.errors import PellucidError
from pellucid.evaluation import (
    Measurement,
    Row,
    measure_denoising,
    save_measurements,
    summarise,
    with_restorer,
)
from pellucid.images import Picture
from pellucid.images.picture import to_floats
from pellucid.metrics import psnr_rgb, ssim_rgb
from pellucid.tasks import RestoreOptions, Restorer


def unchanged(noisy, _):
    return noisy


def save(pixels, path):
    Picture(pixels=to_floats(pixels)).save(path)
    return path


@pytest.fixture(scope="module")
def grey(tmp_path_factory):
    return save(np.full((96, 128, 3), 128, np.uint8), tmp_path_factory.mktemp("pictures") / "grey.png")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory, grey):
    folder = tmp_path_factory.mktemp("photographs")
    return [grey, save(smooth_pixels(20, 31), folder / "a.png"), save(smooth_pixels(40, 12), folder / "b.png")]


def numbers(measurements):
    return [(m.picture, m.sigma, m.psnr_rgb, m.ssim_rgb, m.megapixels) for m in measurements]


def strictly(text):
    """JSON as its standard defines it, without NaN and Infinity."""

    def refuse(name):
        raise ValueError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


def measurement(sigma, psnr=30.0, ssim=0.9, seconds=1.0, megapixels=0.5):
    return Measurement(
        picture="a.png", sigma=sigma, psnr_rgb=psnr, ssim_rgb=ssim, seconds=seconds, megapixels=megapixels
    )


def test_same_numbers_twice(photographs):
    first = numbers(measure_denoising(unchanged, photographs, [15, 50]))
    np.random.seed(7)
    np.random.rand(3)
    assert numbers(measure_denoising(unchanged, photographs, [15, 50])) == first
    alone = numbers(measure_denoising(unchanged, photographs[1:2], [50]))
    assert alone == [first[4]]
    assert [row[:2] for row in first] == [(path.name, sigma) for sigma in (15, 50) for path in photographs]


@pytest.mark.parametrize("sigma", [2.0, 5.0, 10.0, 20.0])
def test_noise_has_the_level_it_is_given(grey, sigma):
    """Mid-grey does not clip: the error is σ² and the twelfth that rounding to integers adds."""
    (found,) = measure_denoising(unchanged, [grey], [sigma])
    assert found.psnr_rgb == pytest.approx(20 * math.log10(255 / sigma), abs=0.2)
    assert found.psnr_rgb == pytest.approx(10 * math.log10(255**2 / (sigma**2 + 1 / 12)), abs=0.1)
    assert found.megapixels == 96 * 128 / 1e6
    assert found.seconds >= 0


def test_no_noise_and_no_change_is_perfect(photographs):
    for found in measure_denoising(unchanged, photographs, [0]):
        assert found.psnr_rgb == math.inf
        assert found.ssim_rgb == pytest.approx(1)


def test_protocol(grey):
    """Legacy generator seeded with 0; nothing clipped before the denoiser, everything rounded after it."""
    seen = []

    def watching(noisy, sigma):
        seen.append((noisy.copy(), sigma))
        return noisy - np.float32(0.4)

    (found,) = measure_denoising(watching, [grey], [80])
    clean = np.full((96, 128, 3), 128, np.uint8)
    expected = to_floats(clean) + np.random.RandomState(0).normal(0, 80 / 255, clean.shape).astype(np.float32)
    (noisy, sigma), *_ = seen
    assert sigma == 80
    assert noisy.dtype == np.float32
    np.testing.assert_array_equal(noisy, expected)
    assert noisy.min() < 0
    assert noisy.max() > 1
    rounded = np.rint(np.clip(expected - np.float32(0.4), 0, 1).astype(np.float64) * 255).astype(np.uint8)
    assert found.psnr_rgb == psnr_rgb(rounded, clean)
    assert found.ssim_rgb == ssim_rgb(rounded, clean)


def test_a_denoiser_is_measured_better_than_none(photographs):
    def blur(noisy, _):
        padded = np.pad(noisy, ((1, 1), (1, 1), (0, 0)), mode="edge")
        return sum(padded[y : y + noisy.shape[0], x : x + noisy.shape[1]] for y in range(3) for x in range(3)) / 9

    for before, after in zip(
        measure_denoising(unchanged, photographs, [25]), measure_denoising(blur, photographs, [25]), strict=True
    ):
        assert after.psnr_rgb > before.psnr_rgb + 3
        assert after.ssim_rgb > before.ssim_rgb


def test_the_tool_itself_is_measured(grey, identity):
    """With the identity as its network, the tool does what clipping does."""
    restorer = Restorer(RestoreOptions(weights=identity, device="cpu"))
    found, clipped = (
        numbers(measure_denoising(denoise, [grey], [0, 60]))
        for denoise in (with_restorer(restorer), lambda noisy, _: np.clip(noisy, 0, 1))
    )
    assert found == clipped


def test_rows_are_means():
    measurements = [
        measurement(25, 30, 0.8, 1, 0.5),
        measurement(15, 40, 0.9, 2, 0.5),
        measurement(25, 32, 0.6, 5, 1.0),
    ]
    high, low = summarise(measurements)
    assert high == Row(sigma=25, pictures=2, psnr_rgb=31, ssim_rgb=pytest.approx(0.7), seconds_per_megapixel=4)
    assert low == Row(sigma=15, pictures=1, psnr_rgb=40, ssim_rgb=0.9, seconds_per_megapixel=4)
    assert summarise([]) == []


def test_saved_json_is_whole(tmp_path, photographs):
    measurements = list(measure_denoising(unchanged, photographs, [15, 25]))
    path = tmp_path / "row.json"
    path.write_text("old")
    save_measurements(path, data="set", weights="none", measurements=measurements)
    saved = strictly(path.read_text())
    assert set(saved) == {"data", "weights", "protocol", "rows", "pictures"}
    assert (saved["data"], saved["weights"]) == ("set", "none")
    assert "RandomState(0)" in saved["protocol"]
    assert [Measurement(**entry) for entry in saved["pictures"]] == measurements
    assert [Row(**entry) for entry in saved["rows"]] == summarise(measurements)
    assert [entry.name for entry in tmp_path.iterdir()] == ["row.json"]


def test_saved_json_is_json_even_for_a_perfect_result(tmp_path, photographs):
    measurements = list(measure_denoising(unchanged, photographs, [0]))
    save_measurements(tmp_path / "row.json", data="set", weights="none", measurements=measurements)
    assert len(strictly((tmp_path / "row.json").read_text())["pictures"]) == len(photographs)


def test_failed_saving_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "row.json"
    path.write_text("old")
    write_text = Path.write_text

    def half(self, text):
        write_text(self, text[:20])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_text", half)
    with pytest.raises(KeyboardInterrupt):
        save_measurements(path, data="set", weights="none", measurements=[measurement(15)])
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["row.json"]


def test_picture_too_small_for_ssim_is_named(tmp_path):
    small = save(smooth_pixels(10, 30), tmp_path / "small.png")
    with pytest.raises(PellucidError, match=r"small\.png"):
        list(measure_denoising(unchanged, [small], [15]))
