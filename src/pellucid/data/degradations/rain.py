"""Rain: bright streaks added to a picture."""

import numpy as np
from numpy.typing import NDArray

from pellucid.data.degradations.blur import blurred


def line_kernel(length: float, angle: float, thickness: float) -> NDArray[np.float32]:
    """Return a line with soft edges, of sum 1.

    Args:
        length: in pixels.
        angle: in radians, from the vertical, clockwise being positive.
        thickness: in pixels.
    """
    reach = int(np.ceil(length / 2 + thickness)) + 1
    axis = np.arange(-reach, reach + 1)
    down, right = axis[:, None], axis[None, :]
    along = down * np.cos(angle) - right * np.sin(angle)
    across = down * np.sin(angle) + right * np.cos(angle)
    beyond = np.maximum(np.abs(along) - length / 2, 0)
    kernel = (thickness / 2 + 0.5 - np.hypot(across, beyond)).clip(0, 1)
    return (kernel / kernel.sum()).astype(np.float32)


def rain_layer(
    height: int,
    width: int,
    *,
    density: float,
    length: float,
    angle: float,
    thickness: float,
    brightness: float,
    generator: np.random.Generator,
) -> NDArray[np.float32]:
    """Draw one layer of parallel streaks (H, W, 1), to be added to a picture with values 0..1.

    Args:
        height, width: of the layer.
        density: share of the pixels at which a drop is.
        length, angle, thickness: of the streaks; see `line_kernel`.
        brightness: of a streak alone; where streaks cross they add up.
        generator: of the drops' places and of their shares of the brightness.
    """
    drops = (generator.random((height, width, 1), dtype=np.float32) < density).astype(np.float32)
    drops *= generator.uniform(0.3, 1.0, drops.shape).astype(np.float32)
    kernel = line_kernel(length, angle, thickness)
    return blurred(drops, kernel).clip(0, None) * np.float32(brightness / kernel.max())
