"""Grey pictures through colour networks.

A grey picture repeated three times has the same noise in all its channels, which a network that learned on colour takes
for texture and keeps. So each channel gets noise z of its own besides, of three whose sum is nothing:

    var z = 2σ²,  cov(z, z′) = −σ²   ⟹   cov(n + z, n + z′) = σ² − σ² = 0,  var(n + z) = 3σ²

With the picture's own noise n of variance σ² that makes independent noise, as the network knows it, and no information
is lost: the mean of the three is the picture. Where a network changes nothing, nothing changes.
"""

import functools

import numpy as np
from numpy.typing import NDArray

from pellucid.images import PictureStream
from pellucid.images.stream import Window
from pellucid.images.view import tile_of, weight_of

_PERIOD = 256  # pixels after which the pattern repeats; equal places of neighbouring tiles must get the same
_STRIPES, _ROWS, _MOST_COLUMNS = 32, 16, 4096  # what is looked at to estimate the noise
_MOST = 0.25  # beyond what any network learns, it is a pattern and no noise, as that of pictures of one bit
_NORM = 6 * 0.6745  # of the filter below; and the median of |x| where x is Gaussian with σ = 1


def noise_level(picture: PictureStream) -> float:
    """The standard deviation of white noise in a grey picture, as the network sees it; 0 where there is none.

    The median of |second difference along both axes| (after Immerkær, 1996): it sees noise in smooth places, and edges
    and texture are outliers to it. What is far too strong for noise counts as none.
    """
    found: list[NDArray[np.float32]] = []
    window = Window(picture)
    columns = slice(0, min(picture.width, _MOST_COLUMNS))
    for start in np.linspace(0, max(0, picture.height - _ROWS), _STRIPES).astype(int):
        band = window.rows(slice(int(start), min(int(start) + _ROWS, picture.height)))
        tile = tile_of(band, slice(None), columns)[..., 0]
        values = np.abs(np.diff(np.diff(tile, 2, axis=0), 2, axis=1))
        weight = weight_of(band, slice(None), columns)
        found.append(values.ravel() if weight is None else values[weight[1:-1, 1:-1] > 0])
    values = np.concatenate(found)
    level = float(np.median(values)) / _NORM if values.size else 0.0
    return level if level < _MOST else 0.0


def as_colour(tile: NDArray[np.float32], level: float, rows: slice, columns: slice) -> NDArray[np.float32]:
    """A grey tile `(H, W, 1)` from that place of a picture as three channels of independent noise, whose mean it is."""
    y, x = (np.array(range(axis.start, axis.stop)) % _PERIOD for axis in (rows, columns))
    return (tile + np.float32(level) * _pattern()[np.ix_(y, x)]).astype(np.float32)


@functools.cache
def _pattern() -> NDArray[np.float32]:
    """Noise (256, 256, 3) of variance 2 in each channel and of sum 0 in each pixel, always the same."""
    noise = np.random.default_rng(0).standard_normal((_PERIOD, _PERIOD, 3))
    return (3**0.5 * (noise - noise.mean(2, keepdims=True))).astype(np.float32)
