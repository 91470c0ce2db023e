"""Degradations: each is what its docstring says, and changes nothing but what it returns."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from little import smooth_pixels
from pellucid.data.degradations import (
    Bayer,
    CameraShake,
    Defocus,
    GaussianNoise,
    JpegCompression,
    Rain,
    RealWorld,
    Reduction,
    UndoneShake,
    blurred,
    disc_kernel,
    gaussian_kernel,
    jpeg,
    motion_kernel,
    poisson_gaussian_noise,
    rain_layer,
)
from pellucid.data.degradations.drawn import rounded
from pellucid.data.degradations.rain import line_kernel
from pellucid.images import read_picture
from pellucid.images.mosaic import malvar, mosaic
from pellucid.images.picture import to_floats
from pellucid.images.resampling import resized

DRAWN = [
    GaussianNoise(),
    JpegCompression(),
    Reduction(scale=2),
    Reduction(scale=4),
    CameraShake(),
    UndoneShake(),
    Defocus(),
    Rain(),
    Bayer(),
    RealWorld(),
]


def name(degradation):
    return f"{type(degradation).__name__}{getattr(degradation, 'scale', '')}"


def textured(height=96, width=88, channels=3):
    values = np.random.default_rng(1).integers(0, 256, (height // 8 + 1, width // 8 + 1, channels), dtype=np.uint8)
    return to_floats(values.repeat(8, 0).repeat(8, 1)[:height, :width])


@pytest.mark.parametrize("degradation", DRAWN, ids=name)
def test_drawn_depend_only_on_the_generator_and_leave_the_original(degradation):
    clean = textured()
    before = clean.copy()
    results = [degradation(clean, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert results[0].shape == clean.shape
    assert results[0].dtype == np.float32
    assert np.isfinite(results[0]).all()
    np.testing.assert_array_equal(clean, before)
    np.testing.assert_array_equal(results[0], results[1])
    fixed = isinstance(degradation, Bayer | Reduction)
    assert np.array_equal(results[0], results[2]) == fixed
    assert not np.array_equal(results[0], clean)


@pytest.mark.parametrize("degradation", [d for d in DRAWN if not isinstance(d, Bayer)], ids=name)
def test_drawn_serve_grey(degradation):
    grey = textured(channels=1)
    assert degradation(grey, np.random.default_rng(0)).shape == grey.shape


@pytest.mark.parametrize("degradation", [Reduction(scale=2), Reduction(scale=4), Bayer()], ids=name)
def test_inside_of_the_margin_does_not_depend_on_what_is_outside(degradation):
    clean, m = textured(96, 96), degradation.margin
    other = np.random.default_rng(2).random(clean.shape, np.float32)
    other[m:-m, m:-m] = clean[m:-m, m:-m]
    framed = np.pad(clean, ((m, m), (m, m), (0, 0)), mode="edge")
    unlike = np.pad(other, ((m, m), (m, m), (0, 0)), mode="wrap")
    unlike[m:-m, m:-m] = clean
    generator = np.random.default_rng(0)
    inside = [degradation(values, generator)[2 * m : -2 * m, 2 * m : -2 * m] for values in (framed, unlike)]
    np.testing.assert_array_equal(*inside)


def test_blurs_stay_within_their_margins():
    generator = np.random.default_rng(0)
    shake, defocus = CameraShake(), Defocus()
    for _ in range(300):
        kernel = motion_kernel(shake.extent[1], generator.random(), generator)
        assert kernel.shape[0] // 2 <= shake.margin
    assert disc_kernel(defocus.radius[1]).shape[0] // 2 <= defocus.margin


@pytest.mark.parametrize("degradation", [CameraShake(), Defocus(), Rain(), RealWorld(), JpegCompression()], ids=name)
def test_what_files_hold_has_eight_bits(degradation):
    values = degradation(textured(), np.random.default_rng(0))
    np.testing.assert_array_equal(values, rounded(values))


def test_poisson_noise_has_the_variance_of_its_model():
    clean = np.full((300, 300, 1), 0.25, np.float32)
    noise = poisson_gaussian_noise(clean, 200.0, 5.0, np.random.default_rng(0)).astype(np.float64) - clean
    variance = 0.25 / 200 + (5 / 255) ** 2
    assert abs(noise.mean()) < 4 * (variance / noise.size) ** 0.5
    assert noise.var() == pytest.approx(variance, rel=4 * (2 / noise.size) ** 0.5)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
def test_jpeg_is_what_reading_such_a_file_gives(tmp_path, channels, subsampling):
    pixels = smooth_pixels(37, 50)[..., :channels]
    options = {"subsampling": subsampling} if channels == 3 else {}
    Image.fromarray(pixels.squeeze()).save(tmp_path / "a.jpg", quality=20, **options)
    np.testing.assert_array_equal(jpeg(to_floats(pixels), 20, subsampling), read_picture(tmp_path / "a.jpg").pixels)


def test_jpeg_subsampling_and_quality_matter():
    clean = textured()
    losses = {
        (quality, subsampling): np.square(jpeg(clean, quality, subsampling) - clean).mean()
        for quality in (5, 50, 95)
        for subsampling in ("4:4:4", "4:2:0")
    }
    for subsampling in ("4:4:4", "4:2:0"):
        assert losses[5, subsampling] > losses[50, subsampling] > losses[95, subsampling]
    assert losses[95, "4:2:0"] > losses[95, "4:4:4"]


def test_jpeg_blocks_begin_at_the_corner_of_a_crop():
    """Inside the margin nothing is lost of a picture of flat 8 × 8 blocks that lie on the encoder's grid."""
    clean = textured(64, 64, 1)
    margin = slice(16, 48)
    aligned = replace(JpegCompression(), quality=(75, 75), shifted=0.0)
    for seed in range(8):
        spoiled = aligned(clean, np.random.default_rng(seed))
        assert np.abs(spoiled - clean)[margin, margin].max() < 0.03
    shifted = replace(aligned, shifted=1.0)
    worst = [np.abs(shifted(clean, np.random.default_rng(seed)) - clean)[margin, margin].max() for seed in range(8)]
    assert max(worst) > 0.05


def test_blurred_is_the_convolution():
    clean, generator = textured(20, 17), np.random.default_rng(0)
    kernel = generator.random((5, 5)).astype(np.float32)
    padded = np.pad(clean, ((2, 2), (2, 2), (0, 0)), mode="symmetric")
    expected = np.zeros_like(clean)
    for y in range(5):
        for x in range(5):
            expected += kernel[4 - y, 4 - x] * padded[y : y + 20, x : x + 17]
    np.testing.assert_allclose(blurred(clean, kernel), expected, atol=1e-5)


@pytest.mark.parametrize(
    "kernel",
    [
        motion_kernel(15.0, 0.5, np.random.default_rng(3)),
        motion_kernel(1.0, 1.0, np.random.default_rng(3)),
        disc_kernel(0.0),
        disc_kernel(4.3),
        gaussian_kernel(1.7),
        line_kernel(12.0, 0.4, 1.5),
    ],
    ids=["path", "short path", "point", "disc", "gaussian", "line"],
)
def test_kernels_keep_brightness_and_place(kernel):
    assert kernel.dtype == np.float32
    assert kernel.shape[0] == kernel.shape[1]
    assert kernel.shape[0] % 2 == 1
    assert kernel.min() >= 0
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    axis = np.arange(kernel.shape[0]) - kernel.shape[0] // 2
    assert (kernel.sum(1) * axis).sum() == pytest.approx(0, abs=1e-3)
    assert (kernel.sum(0) * axis).sum() == pytest.approx(0, abs=1e-3)


def test_discs():
    np.testing.assert_allclose(blurred(textured(9, 9), disc_kernel(0.0)), textured(9, 9), atol=2e-6)
    kernel = disc_kernel(10.0)
    assert 1 / kernel.max() == pytest.approx(np.pi * 10**2, rel=0.01)  # its area in pixels
    np.testing.assert_array_equal(kernel, kernel.T)


def test_paths_have_their_extent_and_wander():
    generator = np.random.default_rng(0)
    for _ in range(40):
        kernel = motion_kernel(20.0, generator.random(), generator)
        rows, columns = np.nonzero(kernel)
        assert 19 <= max(np.ptp(rows), np.ptp(columns)) <= 21

    def straightness(wander):
        """Share of the spread that lies along the main direction."""
        shares = []
        for seed in range(60):
            kernel = motion_kernel(20.0, wander, np.random.default_rng(seed))
            rows, columns = np.indices(kernel.shape)
            spread = np.linalg.eigvalsh(np.cov(np.stack([rows.ravel(), columns.ravel()]), aweights=kernel.ravel()))
            shares.append(spread[1] / spread.sum())
        return np.mean(shares)

    assert straightness(0.0) > straightness(1.0) + 0.05


def test_rain_is_bright_streaks_along_the_angle():
    options = {"density": 0.002, "length": 21.0, "thickness": 1.0, "brightness": 0.5}
    upright = rain_layer(80, 80, angle=0.0, generator=np.random.default_rng(0), **options)
    assert upright.shape == (80, 80, 1)
    assert upright.min() >= 0
    assert 0.1 < upright.max() < 1.5
    along, across = (np.abs(np.diff(upright, axis=axis)).mean() for axis in (0, 1))
    assert along < 0.3 * across
    lying = rain_layer(80, 80, angle=np.pi / 2, generator=np.random.default_rng(0), **options)
    along, across = (np.abs(np.diff(lying, axis=axis)).mean() for axis in (1, 0))
    assert along < 0.3 * across


def test_rain_only_brightens_and_ranges_from_drizzle_to_downpour():
    clean = textured() * np.float32(0.5)
    worse = []
    for seed in range(30):
        rainy = Rain()(rounded(clean), np.random.default_rng(seed))
        assert (rainy >= rounded(clean)).all()
        worse.append(float(np.square(rainy - clean).mean()))
    assert min(worse) < 0.002
    assert max(worse) > 0.02


def test_defocus_leaves_a_part_in_focus_in_half_of_the_crops():
    clean = textured()
    strong = Defocus(radius=(6.0, 6.0), noise=(0.0, 0.0))
    sharp = [np.isclose(strong(clean, np.random.default_rng(s)), clean, atol=0.01).mean() > 0.35 for s in range(60)]
    assert 5 < sum(sharp) < 40


def test_reduction_takes_what_a_file_of_the_small_picture_holds():
    clean = textured(16, 24)
    spoiled = Reduction(scale=4)(clean, np.random.default_rng(0))
    file = io.BytesIO()
    small = np.rint(resized(clean, 4, 6).clip(0, 1) * 255).astype(np.uint8)
    Image.fromarray(small).save(file, "PNG")
    stored = np.asarray(Image.open(file)).astype(np.float32) / np.float32(255)
    np.testing.assert_allclose(spoiled, resized(stored, 16, 24), atol=1e-6)


def test_bayer_interpolates_what_the_sensor_sees():
    clean = textured()
    np.testing.assert_array_equal(Bayer()(clean, np.random.default_rng(0)), malvar(mosaic(clean)))


def test_real_world_spoils_in_part_or_in_full():
    clean = rounded(textured())
    assert np.array_equal(RealWorld(share=0.0)(clean, np.random.default_rng(0)), clean)
    once = [RealWorld(share=0.3)(clean, np.random.default_rng(seed)) for seed in range(12)]
    assert any(np.array_equal(values, clean) for values in once)
    assert not any(np.array_equal(RealWorld(share=1.0)(clean, np.random.default_rng(seed)), clean) for seed in range(4))
