"""Measuring is repeatable, follows the protocol it names, and is saved whole."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluation_pictures import save
from little import smooth_pixels
from pellucid.errors import DataError, UsageError
from pellucid.evaluation import (
    Measurement,
    Row,
    find_cases,
    measure,
    overall,
    protocol_for,
    save_measurements,
    summarise,
    tool_for,
)
from pellucid.images.picture import to_floats
from pellucid.metrics import psnr_rgb, ssim_rgb


def unchanged(picture):
    return picture


def denoised(restore, folder, levels):
    return list(measure(restore, *find_cases(protocol_for("denoise"), folder, levels)))


def numbers(measurements):
    return [replace(m, seconds=0.0) for m in measurements]


def strictly(text):
    """JSON as its standard defines it, without NaN and Infinity."""

    def refuse(name):
        raise ValueError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


def measurement(level, psnr=30.0, ssim=0.9, seconds=1.0, megapixels=0.5):
    restored, before = {"psnr_rgb": psnr, "ssim_rgb": ssim}, {"psnr_rgb": psnr - 5, "ssim_rgb": ssim / 2}
    return Measurement(
        picture="a.png", level=level, input=before, restored=restored, seconds=seconds, megapixels=megapixels
    )


def test_same_numbers_twice(photographs):
    first = numbers(denoised(unchanged, photographs, [15, 50]))
    np.random.seed(7)
    np.random.rand(3)
    assert numbers(denoised(unchanged, photographs, [15, 50])) == first
    assert numbers(denoised(unchanged, photographs, [50])) == first[3:]
    names = ["a.png", "b.png", "c.png"]
    assert [(m.picture, m.level) for m in first] == [(name, sigma) for sigma in (15, 50) for name in names]


@pytest.mark.parametrize("sigma", [2.0, 5.0, 10.0, 20.0])
def test_noise_has_the_level_it_is_given(grey, sigma):
    """Mid-grey does not clip: the error is σ² and the twelfth that rounding to integers adds."""
    (found,) = denoised(unchanged, grey, [sigma])
    assert found.restored["psnr_rgb"] == pytest.approx(10 * math.log10(255**2 / (sigma**2 + 1 / 12)), abs=0.1)
    assert found.restored == found.input
    assert found.megapixels == 96 * 128 / 1e6
    assert found.seconds >= 0


def test_no_noise_and_no_change_is_perfect(photographs):
    for found in denoised(unchanged, photographs, [0]):
        assert found.restored == {"psnr_rgb": math.inf, "ssim_rgb": pytest.approx(1)}


def test_the_noise_of_the_field(grey):
    """Legacy generator seeded with 0; nothing clipped before the method, everything rounded after it."""
    seen = []

    def watching(picture):
        seen.append(picture.pixels.copy())
        return replace(picture, pixels=picture.pixels - np.float32(0.4))

    (found,) = denoised(watching, grey, [80])
    clean = np.full((96, 128, 3), 128, np.uint8)
    expected = to_floats(clean) + np.random.RandomState(0).normal(0, 80 / 255, clean.shape).astype(np.float32)
    np.testing.assert_array_equal(seen[0], expected)
    assert seen[0].dtype == np.float32
    assert seen[0].min() < 0
    assert seen[0].max() > 1
    rounded = np.rint(np.clip(expected - np.float32(0.4), 0, 1).astype(np.float64) * 255).astype(np.uint8)
    assert found.restored == {"psnr_rgb": psnr_rgb(rounded, clean), "ssim_rgb": ssim_rgb(rounded, clean)}


def test_a_method_is_measured_better_than_none(photographs):
    def blur(picture):
        padded = np.pad(picture.pixels, ((1, 1), (1, 1), (0, 0)), mode="edge")
        nine = (padded[y : y + picture.height, x : x + picture.width] for y in range(3) for x in range(3))
        return replace(picture, pixels=(sum(nine) / 9).astype(np.float32))

    for found in denoised(blur, photographs, [25]):
        assert found.restored["psnr_rgb"] > found.input["psnr_rgb"] + 3
        assert found.restored["ssim_rgb"] > found.input["ssim_rgb"]


@pytest.mark.parametrize("task", ["denoise", "sr", "demosaic", "dejpeg"])
def test_the_tool_itself_is_measured(photographs, identity, task):
    """With the identity as its network, the tool gives what restoration starts from."""
    protocol, cases = find_cases(protocol_for(task), photographs)
    restore, name = tool_for(protocol, weights=identity, device="cpu")
    assert name == "identity"
    found = list(measure(restore, protocol, cases))
    assert len(found) == 3 * len(protocol.levels)
    assert all(m.restored == m.input for m in found)


def test_weights_of_a_run_are_called_after_the_run(identity, tmp_path):
    (tmp_path / "my-run").mkdir()
    shutil.copy(identity, tmp_path / "my-run" / "weights.safetensors")
    assert tool_for(protocol_for("denoise"), weights=tmp_path / "my-run", device="cpu")[1] == "my-run"


def test_what_is_shown_is_what_was_measured(photographs):
    shown = []
    protocol, cases = find_cases(protocol_for("denoise"), photographs, [25])
    found = list(measure(unchanged, protocol, cases, show=shown.append))
    assert [s.case for s in shown] == cases
    for one, m in zip(shown, found, strict=True):
        assert psnr_rgb(one.input, one.clean) == m.input["psnr_rgb"]
        assert psnr_rgb(one.restored, one.clean) == m.restored["psnr_rgb"]


def test_a_result_of_another_size_is_a_sentence(photographs):
    with pytest.raises(UsageError, match=r"a\.png is restored to 15 × 10 × 3, where 30 × 20 × 3 are wanted"):
        list(measure(unchanged, *find_cases(protocol_for("sr"), photographs)))


@pytest.mark.parametrize(("task", "size"), [("denoise", (10, 30)), ("sr", (14, 30)), ("defocus", (40, 90))])
def test_a_picture_too_small_to_measure_is_named(tmp_path, task, size):
    save(smooth_pixels(*size), tmp_path / "small.png")
    with pytest.raises(DataError, match=r"small\.png.* is too small"):
        list(measure(unchanged, *find_cases(protocol_for(task), tmp_path)))


def test_rows_are_means():
    measurements = [
        measurement(25, 30, 0.8, 1, 0.5),
        measurement(15, 40, 0.9, 2, 0.5),
        measurement(25, 32, 0.6, 5, 1.0),
    ]
    high, low = summarise(measurements)
    assert high == Row(
        level=25,
        pictures=2,
        input={"psnr_rgb": 26, "ssim_rgb": pytest.approx(0.35)},
        restored={"psnr_rgb": 31, "ssim_rgb": pytest.approx(0.7)},
        seconds_per_megapixel=4,
    )
    assert (low.level, low.pictures, low.restored["psnr_rgb"], low.seconds_per_megapixel) == (15, 1, 40, 4)
    mean = overall(measurements)
    assert (mean.level, mean.pictures, mean.restored["psnr_rgb"]) == ("mean", 3, 34)
    assert summarise([]) == []
    with pytest.raises(ValueError, match="nothing"):
        overall([])


def saved(path, measurements):
    protocol = protocol_for("denoise")
    save_measurements(path, protocol=protocol, data="set", weights="none", method="one pass", measurements=measurements)
    return strictly(path.read_text(encoding="utf-8"))


def test_saved_json_is_whole(tmp_path, photographs):
    measurements = denoised(unchanged, photographs, [15, 25])
    path = tmp_path / "row.json"
    path.write_text("old")
    content = saved(path, measurements)
    assert set(content) == {"task", "data", "weights", "method", "protocol", "rows", "pictures"}
    assert (content["task"], content["data"], content["weights"]) == ("denoise", "set", "none")
    assert "RandomState(0)" in content["protocol"]
    assert [Measurement(**entry) for entry in content["pictures"]] == measurements
    assert [Row(**entry) for entry in content["rows"]] == summarise(measurements)
    assert [entry.name for entry in tmp_path.iterdir()] == ["row.json"]


def test_saved_json_is_json_even_for_a_perfect_result(tmp_path, photographs):
    content = saved(tmp_path / "row.json", denoised(unchanged, photographs, [0]))
    assert [entry["restored"]["psnr_rgb"] for entry in content["pictures"]] == [None] * 3


def test_failed_saving_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "row.json"
    path.write_text("old")
    write_text = Path.write_text

    def half(self, text, **options):
        write_text(self, text[:20], **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_text", half)
    with pytest.raises(KeyboardInterrupt):
        saved(path, [measurement(15)])
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["row.json"]
