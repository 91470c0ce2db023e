"""What each task's network learns to undo: degradations whose parameters are drawn anew for every crop.

Each is a frozen dataclass of the parameters' ranges, called with a clean picture (H, W, C), values 0..1, and a random
generator; it returns the picture that the task's network gets, of the same size. Where that would be read from a file
it is rounded to 8 bits.
"""

import math
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from pellucid.data.degradations.blur import blurred, disc_kernel, gaussian_kernel, motion_kernel
from pellucid.data.degradations.jpeg import Subsampling, jpeg
from pellucid.data.degradations.noise import gaussian_noise, poisson_gaussian_noise
from pellucid.data.degradations.rain import rain_layer
from pellucid.images.deconvolution import deconvolved
from pellucid.images.mosaic import malvar, mosaic
from pellucid.images.picture import to_floats, to_integers
from pellucid.images.resampling import resized

Values = NDArray[np.float32]
Range = tuple[float, float]


class Degradation(Protocol):
    """How a picture is spoiled at random."""

    @property
    def margin(self) -> int:
        """Pixels along each side of a crop whose values depend on what lies outside of it; they are cut off."""
        ...

    @property
    def multiple(self) -> int:
        """Sides of crops and margins are multiples of this."""
        ...

    def __call__(self, clean: Values, generator: np.random.Generator) -> Values:
        """Spoil (H, W, C), leaving the original as it is."""
        ...


def rounded(values: Values) -> Values:
    """Return what an 8-bit file of these values gives when it is read."""
    return to_floats(to_integers(values, 8).astype(np.uint8, copy=False))


def _log_uniform(limits: Range, generator: np.random.Generator) -> float:
    """Draw a number such that every factor within the limits is equally likely."""
    return math.exp(generator.uniform(math.log(limits[0]), math.log(limits[1])))


@dataclass(frozen=True, kw_only=True)
class GaussianNoise:
    """White noise of a standard deviation drawn from `sigma`, on the scale 0..255; not clipped."""

    sigma: Range = (0.0, 55.0)
    margin: int = 0
    multiple: int = 1

    def __call__(self, clean: Values, generator: np.random.Generator) -> Values:
        """Spoil (H, W, C)."""
        return gaussian_noise(clean, generator.uniform(*self.sigma), generator)


@dataclass(frozen=True, kw_only=True)
class JpegCompression:
    """JPEG files of a quality drawn from `quality`, half of them with subsampled colour.

    The corner of a crop is a corner of the encoder's 8 × 8 blocks, as the corner of a photograph is; in a share
    `shifted` of the crops it lies anywhere, as in a picture that was cut out of a JPEG file.
    """

    quality: tuple[int, int] = (5, 95)
    shifted: float = 0.25
    margin: int = 16
    multiple: int = 1

    def __call__(self, clean: Values, generator: np.random.Generator) -> Values:
        """Spoil (H, W, C)."""
        quality = int(generator.integers(self.quality[0], self.quality[1] + 1))
        subsampling: Subsampling = "4:4:4" if generator.integers(2) else "4:2:0"
        step = 1 if generator.random() < self.shifted else 8
        down, right = (step * generator.integers(self.margin // step, size=2)).tolist()
        spoiled = clean.copy()
        spoiled[down:, right:] = jpeg(clean[down:, right:], quality, subsampling)
        return spoiled


@dataclass(frozen=True, kw_only=True)
class Reduction:
    """A picture reduced by the factor `scale`, stored in 8 bits, and enlarged again, both as MATLAB's bicubic does."""

    scale: int

    @property
    def margin(self) -> int:
        """Both kernels reach two pixels of the small picture."""
        return 4 * self.scale

    @property
    def multiple(self) -> int:
        """A crop must be a whole number of pixels of the small picture."""
        return self.scale

    def __call__(self, clean: Values, generator: np.random.Generator) -> Values:
        """Spoil (H, W, C)."""
        del generator
        height, width = clean.shape[:2]
        return resized(rounded(resized(clean, height // self.scale, width // self.scale)), height, width)


@dataclass(frozen=True, kw_only=True)
class CameraShake:
    """Motion blur along a random path, and a little noise.

    Attributes:
        extent: of the path in pixels; see `motion_kernel`.
        noise: standard deviation on the scale 0..255.
        margin: the path never leaves it.
        multiple: any crop will do.
    """

    extent: Range = (1.0, 27.0)
    noise: Range = (0.0, 2.55)
    margin: int = 28
    multiple: int = 1

    def __call__(self, clean: Values, generator: np.random.Generator) -> Values:
        """Spoil (H, W, C)."""
        kernel = motion_kernel(generator.uniform(*self.extent), generator.random(), generator)
        return rounded(gaussian_noise(blurred(clean, kernel), generator.uniform(*self.noise), generator))


@dataclass(frozen=True, kw_only=True)
class UndoneShake:
    """Camera shake as `CameraShake` has it, then undone with a kernel that is wrong as estimates are; neither clipped.

    Attributes:
        extent: of the path in pixels; see `motion_kernel`.
        noise: standard deviation on the scale 0..255.
        softness: standard deviation in pixels of what the kernel is smeared by.
        error: standard deviation of its values, as a share of the largest.
        exact: share of the crops in which the kernel is the true one.
        margin: the path never leaves it, and little of the ringing from beyond does.
        multiple: any crop will do.
    """

    extent: Range = (3.0, 27.0)
    noise: Range = (0.0, 2.55)
    softness: Range = (0.3, 1.2)
    error: Range = (0.02, 0.2)
    exact: float = 0.15
    margin: int = 32
    multiple: int = 1

    def __call__(self, clean: Values, generator: np.random.Generator) -> Values:
        """Spoil (H, W, C)."""
        kernel = motion_kernel(generator.uniform(*self.extent), generator.random(), generator)
        shaken = rounded(gaussian_noise(blurred(clean, kernel), generator.uniform(*self.noise), generator))
        return deconvolved(shaken, kernel if generator.random() < self.exact else self._mistaken(kernel, generator))

    def _mistaken(self, kernel: Values, generator: np.random.Generator) -> Values:
        """The kernel smeared and noisy, and what is faint in it lost, as it is in estimates."""
        soft = blurred(kernel[..., None], gaussian_kernel(generator.uniform(*self.softness)))[..., 0]
        spread = blurred((soft > 0.02 * soft.max()).astype(np.float32)[..., None], gaussian_kernel(1.0))[..., 0]
        error = generator.uniform(*self.error) * soft.max() * spread
        noisy = soft + error * generator.standard_normal(soft.shape).astype(np.float32)
        return np.where(noisy < 0.05 * noisy.max(), np.float32(0), noisy).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Defocus:
    """A lens out of focus, and a little noise; in half of the crops a part is in focus.

    Attributes:
        radius: of the circle of confusion in pixels.
        noise: standard deviation on the scale 0..255.
        margin: more than the largest radius.
        multiple: any crop will do.
    """

    radius: Range = (0.0, 7.0)
    noise: Range = (0.0, 2.55)
    margin: int = 8
    multiple: int = 1

    def __call__(self, clean: Values, generator: np.random.Generator) -> Values:
        """Spoil (H, W, C)."""
        soft = blurred(clean, disc_kernel(generator.uniform(*self.radius)))
        if generator.integers(2):
            soft += (_slope(clean.shape[0], clean.shape[1], generator) - 1) * (soft - clean)
        return rounded(gaussian_noise(soft, generator.uniform(*self.noise), generator))


def _slope(height: int, width: int, generator: np.random.Generator) -> Values:
    """A transition from 0 to 1, up to a picture wide, in a random direction through a random place; (H, W, 1)."""
    angle = generator.uniform(0, 2 * np.pi)
    down, right = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None, :]
    distance = down * np.sin(angle) + right * np.cos(angle) - generator.uniform(-0.7, 0.7)
    return (0.5 + distance / generator.uniform(0.02, 2.0)).clip(0, 1)[..., None].astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Rain:
    """Several layers of bright streaks, from a drizzle to a downpour.

    Attributes:
        layers: fewest and most layers; each has its own streaks, their angles being near each other.
        density: share of the pixels at which a drop is, in each layer.
        length, thickness: of the streaks in pixels.
        brightness: of a streak.
        margin: streaks that start outside of a crop reach into it.
        multiple: any crop will do.
    """

    layers: tuple[int, int] = (1, 5)
    density: Range = (0.0005, 0.01)
    length: Range = (6.0, 40.0)
    thickness: Range = (0.5, 2.5)
    brightness: Range = (0.1, 0.7)
    margin: int = 20
    multiple: int = 1

    def __call__(self, clean: Values, generator: np.random.Generator) -> Values:
        """Spoil (H, W, C)."""
        wind = generator.uniform(-0.8, 0.8)
        rain = np.zeros((*clean.shape[:2], 1), np.float32)
        for _ in range(int(generator.integers(self.layers[0], self.layers[1] + 1))):
            rain += rain_layer(
                clean.shape[0],
                clean.shape[1],
                density=_log_uniform(self.density, generator),
                length=generator.uniform(*self.length),
                angle=wind + generator.uniform(-0.4, 0.4),
                thickness=generator.uniform(*self.thickness),
                brightness=generator.uniform(*self.brightness),
                generator=generator,
            )
        return rounded(clean + rain)


@dataclass(frozen=True, kw_only=True)
class Bayer:
    """The RGGB mosaic of a camera's sensor, interpolated linearly; neither rounded nor clipped."""

    margin: int = 2
    multiple: int = 2

    def __call__(self, clean: Values, generator: np.random.Generator) -> Values:
        """Spoil (H, W, 3)."""
        del generator
        return malvar(mosaic(clean))


@dataclass(frozen=True, kw_only=True)
class RealWorld:
    """What happens to pictures on their way: blur, resizing and noise in a random order, then JPEG, in part or in full.

    Attributes:
        blur: standard deviation of a Gaussian, or radius of a disc, in pixels.
        reduction: the picture is made smaller by this, and as large as it was.
        photons: where the value is 1; see `poisson_gaussian_noise`.
        sigma: of the read-out noise on the scale 0..255.
        quality: of the JPEG file.
        share: of the crops in which each of these happens.
        margin: of the blur, the resizing and the blocks of JPEG together.
        multiple: any crop will do.
    """

    blur: Range = (0.3, 3.0)
    reduction: Range = (1.0, 3.0)
    photons: Range = (100.0, 10000.0)
    sigma: Range = (0.0, 15.0)
    quality: tuple[int, int] = (30, 95)
    share: float = 0.7
    margin: int = 32
    multiple: int = 1

    def __call__(self, clean: Values, generator: np.random.Generator) -> Values:
        """Spoil (H, W, C)."""
        values = clean.copy()
        for happen in generator.permutation(np.array([self._soften, self._resize, self._count])):
            if generator.random() < self.share:
                values = cast(Values, happen(values, generator))
        if generator.random() < self.share:
            values = JpegCompression(quality=self.quality)(values, generator)
        return rounded(values)

    def _soften(self, values: Values, generator: np.random.Generator) -> Values:
        size = generator.uniform(*self.blur)
        return blurred(values, disc_kernel(size) if generator.integers(2) else gaussian_kernel(size))

    def _resize(self, values: Values, generator: np.random.Generator) -> Values:
        height, width = values.shape[:2]
        factor = generator.uniform(*self.reduction)
        return resized(resized(values, round(height / factor), round(width / factor)), height, width)

    def _count(self, values: Values, generator: np.random.Generator) -> Values:
        photons = _log_uniform(self.photons, generator)
        return poisson_gaussian_noise(values, photons, generator.uniform(*self.sigma), generator)
