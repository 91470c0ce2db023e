"""The colour filter mosaic of a camera's sensor, and its linear interpolation.

H. S. Malvar, L. He, R. Cutler, "High-quality linear interpolation for demosaicing of Bayer-patterned color images",
ICASSP 2004, figure 2.
"""

import numpy as np
from numpy.typing import NDArray

SUPPORT = 2
"""Rows and columns on either side that an interpolated value depends on."""


def mosaic(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """Keep of each pixel of (H, W, 3) the colour that an RGGB sensor sees there; returns (H, W).

    The top left pixel is red, its neighbours are green, the one diagonal to it is blue.
    """
    seen = picture[..., 1].copy()
    seen[0::2, 0::2] = picture[0::2, 0::2, 0]
    seen[1::2, 1::2] = picture[1::2, 1::2, 2]
    return seen


def malvar(seen: NDArray[np.float32]) -> NDArray[np.float32]:
    """Interpolate an RGGB mosaic (H, W) to (H, W, 3) by the gradient-corrected 5 × 5 filters; not clipped.

    Beyond the border the mosaic is reflected, the border pixel not repeated, so that colours keep their places. A band
    that starts at an even row and has two rows more above and below gives the values of the whole mosaic inside.
    """
    height, width = seen.shape
    padded: NDArray[np.float32] = np.pad(seen.astype(np.float32, copy=False), SUPPORT, mode="reflect")

    def at(down: int, right: int) -> NDArray[np.float32]:
        return padded[SUPPORT + down : SUPPORT + down + height, SUPPORT + right : SUPPORT + right + width]

    centre = at(0, 0)
    beside, above = at(0, -1) + at(0, 1), at(-1, 0) + at(1, 0)
    beside2, above2 = at(0, -2) + at(0, 2), at(-2, 0) + at(2, 0)
    diagonals = at(-1, -1) + at(-1, 1) + at(1, -1) + at(1, 1)
    # A colour is estimated from neighbours that have it, corrected by the curvature of the colour that the pixel has.
    green = (4 * centre + 2 * (beside + above) - beside2 - above2) / 8
    from_beside = (5 * centre + 4 * beside - diagonals - beside2 + above2 / 2) / 8
    from_above = (5 * centre + 4 * above - diagonals - above2 + beside2 / 2) / 8
    from_diagonals = (6 * centre + 2 * diagonals - 1.5 * (beside2 + above2)) / 8

    picture = np.stack([centre, green, centre], axis=2, dtype=np.float32)
    red, blue = picture[..., 0], picture[..., 2]
    picture[0::2, 1::2, 1], picture[1::2, 0::2, 1] = centre[0::2, 1::2], centre[1::2, 0::2]
    red[0::2, 1::2], red[1::2, 0::2], red[1::2, 1::2] = (
        from_beside[0::2, 1::2],
        from_above[1::2, 0::2],
        from_diagonals[1::2, 1::2],
    )
    blue[1::2, 0::2], blue[0::2, 1::2], blue[0::2, 0::2] = (
        from_beside[1::2, 0::2],
        from_above[0::2, 1::2],
        from_diagonals[0::2, 0::2],
    )
    return picture
