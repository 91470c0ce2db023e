"""Networks that see pictures in which camera shake has been undone, of weights that say `prepare = shake`.

The kernel is read off the part of a picture that has the most edges, once, and each tile is deconvolved with it before
the network sees it. What the network learned is to remove the ringing and grain that this leaves.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pellucid.checkpoints import Restoration
from pellucid.errors import CheckpointError
from pellucid.images import Picture, PictureStream
from pellucid.images.shake import estimate_kernel
from pellucid.images.stream import Window
from pellucid.images.view import tile_of

SHAKE = "shake"

_LONGEST = 31  # pixels of a path that is looked for
_RINGING = 80  # pixels, besides the kernel's reach, by which a tile's end is seen in it
_CELL, _CELLS = 64, 11  # the part that is looked at: so many cells of so many pixels, along each side
_BYTES = 240  # for each pixel of a tile that is deconvolved, what is added around it among them

_LEFT_ALONE = "no camera shake was found in it, so it is left as it is"


def undoes_shake(about: Mapping[str, str]) -> bool:
    """Whether weights are for pictures in which shake has been undone; raises CheckpointError for other words."""
    word = about.get("prepare", "")
    if word not in ("", SHAKE):
        raise CheckpointError(f"these weights are for pictures prepared by {word!r}, which is unknown; update pellucid")
    return word == SHAKE


def with_unshaking(network: Restoration) -> Restoration:
    """How a network restores where its tiles are deconvolved before: with more overlap and memory."""
    more = -(-(_LONGEST // 2 + _RINGING) // network.multiple) * network.multiple
    bytes_per_pixel = max(network.bytes_per_pixel, _BYTES) + 4 * network.channels
    return network._replace(overlap=network.overlap + more, bytes_per_pixel=bytes_per_pixel)


def read_kernel(stream: PictureStream) -> NDArray[np.float32] | None:
    """Estimate how the camera shook; None where it did not, or the picture does not tell."""
    side = _CELL * _CELLS
    top, left = (0, 0) if max(stream.height, stream.width) <= side else _busiest(stream)
    rows, columns = slice(top, min(top + side, stream.height)), slice(left, min(left + side, stream.width))
    return estimate_kernel(np.concatenate([*_lumas(stream, rows, columns)]), size=_LONGEST)


def left_alone(
    stream: PictureStream, report: Callable[[float], None], watch: Callable[[Picture, Picture], None]
) -> PictureStream:
    """A picture without shake as the result, with a note that says so; `report` and `watch` as of `Restorer`."""

    def stripes() -> Iterator[Picture]:
        done = 0
        for stripe in stream.stripes():
            done += stripe.height
            report(done / stream.height)
            watch(stripe, stripe)
            yield stripe

    return replace(stream, notes=(*stream.notes, _LEFT_ALONE), stripes=stripes)


def _busiest(stream: PictureStream) -> tuple[int, int]:
    """Upper left corner of the part in which neighbours differ most, to a cell."""
    columns = slice(0, stream.width)
    sums = np.zeros((stream.height // _CELL + 1, stream.width // _CELL + 1))
    for row, luma in enumerate(_lumas(stream, slice(0, stream.height), columns)):
        across = np.abs(np.diff(luma, axis=1, append=luma[:, -1:])).sum(0)
        down = np.abs(np.diff(luma, axis=0, append=luma[-1:])).sum(0)
        edges = np.add.reduceat(across + down, range(0, stream.width, _CELL))
        sums[row, : len(edges)] = edges
    height, width = (min(_CELLS, length // _CELL) or 1 for length in (stream.height, stream.width))
    inside = np.lib.stride_tricks.sliding_window_view(sums, (height, width)).sum((2, 3))
    row, column = divmod(int(inside.argmax()), inside.shape[1])
    side = _CELL * _CELLS
    return min(row * _CELL, max(stream.height - side, 0)), min(column * _CELL, max(stream.width - side, 0))


def _lumas(stream: PictureStream, rows: slice, columns: slice) -> Iterator[NDArray[np.float32]]:
    """The mean of the channels of a part of a picture, a cell's rows at a time."""
    window = Window(stream)
    for top in range(rows.start, rows.stop, _CELL):
        band = window.rows(slice(top, min(top + _CELL, rows.stop)))
        yield tile_of(band, slice(None), columns).mean(2)
