"""Each protocol does to pictures what its words say."""

import numpy as np
import pytest

from little import smooth_pixels
from pellucid.errors import DataError, UsageError
from pellucid.evaluation import PROTOCOLS, protocol_for
from pellucid.images.picture import to_integers
from pellucid.metrics import psnr_rgb


def random_pixels(height=48, width=52, channels=3):
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


def kernels_file(path, **kernels):
    np.savez(path, **kernels)
    return path


def test_every_task_has_a_protocol_that_says_what_it_is():
    assert set(PROTOCOLS) == {"denoise", "dejpeg", "sr", "demosaic", "deblur", "defocus", "derain"}
    for name, protocol in PROTOCOLS.items():
        assert protocol.task == name
        words = str(protocol_for(name))
        assert "8-bit" in words
        assert "border" in words
        assert "{" not in words


@pytest.mark.parametrize("task", [name for name in PROTOCOLS if name != "derain"])
def test_degraded_pictures_are_as_large_as_the_clean_ones_once_prepared(task):
    protocol = protocol_for(task)
    for level in protocol.levels:
        pixels = random_pixels(57, 61)
        degraded, clean = protocol.degrade(pixels, 0.0 if isinstance(level, str) else level)
        assert protocol.prepare(degraded).pixels.shape == clean.shape
        assert degraded.pixels.dtype == np.float32
        assert (pixels == random_pixels(57, 61)).all()
        again, _ = protocol.degrade(pixels, 0.0 if isinstance(level, str) else level)
        np.testing.assert_array_equal(again.pixels, degraded.pixels)


def test_jpeg_is_better_at_higher_quality():
    protocol, clean = protocol_for("dejpeg"), smooth_pixels(64, 64)
    found = [psnr_rgb(to_integers(protocol.degrade(clean, q).degraded.pixels, 8), clean) for q in (10, 40, 95)]
    assert found == sorted(found)
    assert found[0] < 40 < found[2]


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_super_resolution_starts_from_bytes_and_cuts_what_does_not_divide(scale):
    protocol = protocol_for("sr", scale=scale)
    assert (protocol.levels, protocol.border, protocol.scale, protocol.compared) == ((scale,), scale, scale, "y")
    degraded, clean = protocol.degrade(random_pixels(4 * scale + 1, 5 * scale + scale - 1), scale)
    assert degraded.pixels.shape == (4, 5, 3)
    assert clean.shape == (4 * scale, 5 * scale, 3)
    np.testing.assert_allclose(degraded.pixels * 255, np.rint(degraded.pixels * 255), atol=1e-4)


def test_a_mosaic_keeps_a_third_of_the_values():
    protocol, clean = protocol_for("demosaic"), random_pixels(6, 8)
    degraded, whole = protocol.degrade(clean, 0)
    seen = to_integers(degraded.pixels, 8)[..., 0]
    assert whole is clean
    assert degraded.channels == 1
    np.testing.assert_array_equal(seen[0::2, 0::2], clean[0::2, 0::2, 0])
    np.testing.assert_array_equal(seen[0::2, 1::2], clean[0::2, 1::2, 1])
    np.testing.assert_array_equal(seen[1::2, 0::2], clean[1::2, 0::2, 1])
    np.testing.assert_array_equal(seen[1::2, 1::2], clean[1::2, 1::2, 2])


def test_blur_depends_on_nothing_beyond_the_border(tmp_path):
    """A kernel of one pixel away from the middle shifts a picture; convolution, so towards where that pixel lies."""
    kernel = np.zeros((5, 5))
    kernel[1, 4] = 3.0  # scaled to the sum 1
    protocol = protocol_for("deblur", kernels=kernels_file(tmp_path / "k.npz", one=kernel))
    assert protocol.levels == (1,)
    pixels = random_pixels()
    degraded, clean = protocol.degrade(pixels, 1)
    np.testing.assert_array_equal(clean, pixels[2:-2, 2:-2])
    shifted = pixels[3:-1, :-4]
    error = to_integers(degraded.pixels, 8).astype(float) - shifted
    inside = (shifted > 20) & (shifted < 235)  # where noise is not clipped
    assert np.std(error[inside]) == pytest.approx(2.55, rel=0.05)
    assert np.mean(error[inside]) == pytest.approx(0, abs=0.2)


def test_kernels_of_the_usual_collection_are_chosen(tmp_path):
    three, five = np.ones((3, 3)), np.ones((5, 5))
    path = kernels_file(tmp_path / "k.npz", levin09_1=three, levin09_2=five, bicubic_x2=-five)
    protocol = protocol_for("deblur", kernels=path)
    assert protocol.levels == (1, 2)
    assert "k.npz" in str(protocol)


@pytest.mark.parametrize(
    "kernels",
    [
        {},
        {"even": np.ones((4, 4))},
        {"oblong": np.ones((3, 5))},
        {"negative": -np.ones((3, 3))},
        {"nothing": np.zeros((3, 3))},
        {"flat": np.ones(9)},
        {"nan": np.full((3, 3), np.nan)},
        {"text": np.array([["a"]])},
    ],
    ids=lambda kernels: "-".join(kernels) or "empty",
)
def test_what_is_no_kernel_is_a_sentence(tmp_path, kernels):
    with pytest.raises(DataError, match=r"k\.npz"):
        protocol_for("deblur", kernels=kernels_file(tmp_path / "k.npz", **kernels))


@pytest.mark.parametrize("content", [None, b"", b"garbage"])
def test_what_is_no_file_of_kernels_is_a_sentence(tmp_path, content):
    if content is not None:
        (tmp_path / "k.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"k\.npz is not"):
        protocol_for("deblur", kernels=tmp_path / "k.npz")


def test_a_larger_disc_blurs_more():
    protocol, clean = protocol_for("defocus"), random_pixels(64, 64)
    contrast = [protocol.degrade(clean, radius).degraded.pixels.std() for radius in protocol.levels]
    assert contrast == sorted(contrast, reverse=True)


@pytest.mark.parametrize(
    ("task", "options", "about"),
    [
        ("beautify", {}, "no task 'beautify'"),
        ("denoise", {"scale": 2}, "has no scale"),
        ("sr", {"scale": 1}, "2 to 8 times"),
        ("sr", {"scale": 9}, "2 to 8 times"),
    ],
)
def test_options_that_mean_nothing_are_a_sentence(task, options, about):
    with pytest.raises(UsageError, match=about):
        protocol_for(task, **options)


def test_kernels_are_for_deblurring(tmp_path):
    with pytest.raises(UsageError, match="kernels"):
        protocol_for("denoise", kernels=tmp_path / "k.npz")
