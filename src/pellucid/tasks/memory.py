"""How large a tile fits a memory budget, and how large a budget is sensible."""

import re
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from pellucid.checkpoints import Restoration
from pellucid.errors import BudgetError, UsageError
from pellucid.images.tiles import even_tiles

MARGIN = 192 * 2**20  # the libraries' own buffers, the allocator's gaps, the compressed file
_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_SMALLEST_SIDE = 256  # below this a network sees too little of the picture, and most of the work is overlap
_LITTLE_MORE = 1.02  # work that larger tiles are worth
_UNKNOWN = 4 * 2**30  # free memory where the system does not say


class TileShape(NamedTuple):
    """Largest height and width of a tile and the overlap of neighbours, in pixels of the picture to restore."""

    height: int
    width: int
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
    """Half of the memory that this process can still get."""
    return available_memory() // 2


def available_memory(root: Path = Path("/")) -> int:
    """Memory that this process can still get: of the machine, and within the limits of its control groups.

    What the system keeps cached and would give up at once counts as free. 4 GiB where the system does not say.

    Args:
        root: folder in which the system's "proc" and "sys" lie.
    """
    return min((*_machine_memory(root), *_group_memory(root)), default=_UNKNOWN)


def plan_tile(
    width: int,
    height: int,
    network: Restoration,
    budget: int,
    *,
    per_row: int = 0,
    fixed: int = 0,
) -> TileShape:
    """Choose the tiles with which restoring a picture stays inside a budget and computes the fewest pixels.

        MARGIN + fixed + per_row · height of a tile + network.bytes(height, width of a tile) ≤ budget

    The whole picture is one tile where that fits. Else each side of a tile is at least 256 pixels and four overlaps, or
    spans the picture. Of the shapes that fit and cost within a fiftieth of the least, the largest is chosen: the more
    a network sees at once, the nearer it is to the whole picture.

    Args:
        width, height: of the picture, in pixels.
        network: what it needs for a tile.
        budget: in bytes.
        per_row: bytes held for each row of a tile besides: those of the bands that span the picture's width.
        fixed: bytes held all the time besides, such as the parameters.

    Raises:
        BudgetError: not even the smallest tile fits; the sentence names the smallest budget that works.
    """
    rows, columns = _Axis.of(height, network), _Axis.of(width, network)

    def held(tile_height: int) -> int:
        return MARGIN + fixed + per_row * min(tile_height, height)

    def needed(tile_height: int, tile_width: int) -> int:
        return held(tile_height) + network.bytes(tile_height, tile_width)

    if needed(rows.whole, columns.whole) <= budget:
        return TileShape(rows.whole, columns.whole, network.overlap)
    least = needed(rows.smallest, columns.smallest)
    if least > budget:
        raise BudgetError(
            f"a picture of {width} × {height} pixels needs at least {-(-least // 2**20)} MiB of memory, and "
            f"{budget // 2**20} MiB are allowed; allow more with --memory"
        )
    widths = sorted(columns.sides())
    best_up_to = list(accumulate(widths, lambda best, next_: min(best, next_, key=columns.computed)))
    shapes: dict[tuple[int, int], int] = {}  # and the pixels that they compute
    for tile_height in rows.sides():
        widest = network.widest(tile_height, budget - held(tile_height))
        fitting = bisect_right(widths, widest)
        for tile_width in {widths[fitting - 1], best_up_to[fitting - 1]} if fitting else ():
            shapes[tile_height, tile_width] = rows.computed(tile_height) * columns.computed(tile_width)
    most_work = min(shapes.values()) * _LITTLE_MORE
    chosen = max(
        (shape for shape, computed in shapes.items() if computed <= most_work), key=lambda sides: needed(*sides)
    )
    return TileShape(*chosen, network.overlap)


class _Axis(NamedTuple):
    """One axis of a picture and the tiles along it, in pixels.

    Attributes:
        length: of the picture.
        multiple, overlap: of the tiles.
        smallest: side that a tile has at least.
        whole: side of a tile that spans the picture.
    """

    length: int
    multiple: int
    overlap: int
    smallest: int
    whole: int

    @classmethod
    def of(cls, length: int, network: Restoration) -> "_Axis":
        multiple, overlap = network.multiple, network.overlap
        whole, smallest = (-(-side // multiple) * multiple for side in (length, max(_SMALLEST_SIDE, 4 * overlap)))
        return cls(length, multiple, overlap, min(smallest, whole), whole)

    def computed(self, side: int) -> int:
        """How many pixels all tiles along the axis have together."""
        count, evened = even_tiles(self.length, side, self.overlap, self.multiple)
        return count * evened

    def sides(self) -> Iterator[int]:
        """The side that suffices for each number of tiles, from one tile on.

        For ever more tiles sides repeat, so that there are no more than about twice the root of length / multiple.
        """
        longest = self.whole
        while longest >= self.smallest:
            _, side = even_tiles(self.length, longest, self.overlap, self.multiple)
            yield max(side, self.smallest)
            longest = side - self.multiple


def _machine_memory(root: Path) -> Iterator[int]:
    """Free memory of the machine, with the caches that the system would give up."""
    for line in _lines(root / "proc/meminfo"):
        if line.startswith("MemAvailable:"):
            yield int(line.split()[1]) * 1024


def _group_memory(root: Path) -> Iterator[int]:
    """What is left to this process within the limit of each control group that holds it, of version 2 and 1.

    In a container the path may be that of the host, of which only the last groups, or none, are to be seen.
    """
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            folder, limit, usage, cache = "sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            folder, limit, usage = "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
            cache = "total_inactive_file"
        else:
            continue
        group = PurePosixPath(path)
        for place in (root / folder / part.relative_to("/") for part in (group, *group.parents)):
            allowed, used = ("".join(_lines(place / name)) for name in (limit, usage))
            if allowed.isdigit() and used.isdigit():
                kept = [int(line.split()[1]) for line in _lines(place / "memory.stat") if line.startswith(f"{cache} ")]
                yield max(0, int(allowed) - max(0, int(used) - sum(kept)))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
