"""How large a tile fits a memory budget."""

import os
import re
from typing import NamedTuple

from pellucid.checkpoints import Restoration
from pellucid.errors import BudgetError, UsageError
from pellucid.images import Picture, PictureHeader

_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_MARGIN = 192 * 2**20  # stripes inside layers, the libraries' own buffers, the compressed file
_SMALLEST_TILE = 256
OVERLAP = 64  # pixels shared by neighbouring tiles; the model cards say how little of it shows


class TileSize(NamedTuple):
    """Largest side of a tile and the overlap of neighbours, in pixels."""

    side: int
    overlap: int


def parse_memory(text: str) -> int:
    """Read a size such as "2GiB", "512M" or "1.5 GB" as bytes; units are powers of 1024.

    Raises:
        UsageError: the text is not a size.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?\s*", text.lower())
    if match is None:
        raise UsageError(f"{text!r} is not a size of memory; write it as 2GiB or 512MiB")
    return int(float(match[1]) * _UNITS[match[2]])


def default_memory() -> int:
    """Half of the memory that is free now; 2 GiB where the system does not say."""
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, ValueError, OSError):
        return 2 * 2**30


def picture_bytes(picture: Picture | PictureHeader) -> int:
    """Memory for a picture as floats, its result, and the integers read or written; alpha is kept beside."""
    planes = picture.channels * (4 + 4 + -(-picture.bit_depth // 8)) + picture.has_alpha * (4 + 4)
    return picture.width * picture.height * planes


def plan_tile(picture: Picture | PictureHeader, network: Restoration, budget: int) -> TileSize:
    """Choose the largest tile with which restoring a picture stays inside a budget of bytes.

    Raises:
        BudgetError: not even the smallest tile fits; the sentence names the smallest budget that works.
    """
    multiple, per_pixel = network.multiple, network.bytes_per_pixel
    overlap = -(-OVERLAP // multiple) * multiple
    smallest = -(-max(_SMALLEST_TILE, 4 * overlap) // multiple) * multiple
    rest = budget - _MARGIN - picture_bytes(picture)
    if rest < per_pixel * smallest**2:
        needed = -(-(budget - rest + per_pixel * smallest**2) // 2**20)
        raise BudgetError(
            f"A picture of {picture.width} × {picture.height} pixels needs at least {needed} MiB of memory; "
            f"{budget // 2**20} MiB were allowed"
        )
    return TileSize(max(smallest, int((rest / per_pixel) ** 0.5) // multiple * multiple), overlap)
