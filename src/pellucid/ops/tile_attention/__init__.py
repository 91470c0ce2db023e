"""Cosine attention inside matching tiles of two grids: windows, and stripes of tokens and of their anchors."""

from torch import Tensor

from pellucid.ops.precision import without_autocast
from pellucid.ops.tile_attention import fast
from pellucid.ops.tile_attention.geometry import Pair

__all__ = ["tile_attention"]


def tile_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    temperature: Tensor,
    table: Tensor,
    query_tile: Pair,
    key_tile: Pair,
    query_shift: Pair = (0, 0),
    key_shift: Pair = (0, 0),
) -> Tensor:
    """Compute softmax(e^min(τ, ln 100) · q̂k̂ᵀ + β + M) v in each tile of a grid of queries and its tile of keys.

    GRL (Li et al., CVPR 2023), sections 3.2 and 3.3. Both grids are rolled up and left by their shifts, cut into tiles,
    and the result is rolled back. β[i, j] = table[i − j + key extent − 1] on each axis, with positions counted inside
    the tiles. M is −100 between positions that only the roll has brought together, as the weights were trained.

    Args:
        q: (B, H, W, C).
        k, v: (B, H′, W′, C) each.
        temperature: τ, the logarithm of the scale, one value for each of h heads; head i owns channels
            [i·C/h, (i+1)·C/h).
        table: position bias by relative position, (h, query rows + key rows − 1, query columns + key columns − 1).
        query_tile, key_tile: rows and columns of a tile; each grid has the same number of tiles.
        query_shift, key_shift: rows and columns by which to roll, less than a tile.

    Returns:
        (B, H, W, C)

    Raises:
        ValueError: shapes disagree, the tiles do not divide the grids, or a shift is not less than its tile.
    """
    h, C = temperature.numel(), q.shape[-1]
    if q.ndim != 4 or k.ndim != 4 or k.shape != v.shape or (q.shape[0], C) != (k.shape[0], k.shape[-1]):
        raise ValueError(f"q, k and v must be (B, H, W, C), not {tuple(q.shape)}, {tuple(k.shape)}, {tuple(v.shape)}")
    if C % h:
        raise ValueError(f"{h} heads do not divide {C} channels")
    for grid, tile, shift in ((q, query_tile, query_shift), (k, key_tile, key_shift)):
        if any(length % n or not 0 <= delta < n for length, n, delta in zip(grid.shape[1:3], tile, shift, strict=True)):
            raise ValueError(f"tiles {tile} shifted by {shift} do not fit a grid of {tuple(grid.shape[1:3])}")
    if any(q.shape[1 + i] // query_tile[i] != k.shape[1 + i] // key_tile[i] for i in range(2)):
        raise ValueError(f"tiles {query_tile} of the queries and {key_tile} of the keys are not equally many")
    expected = (h, query_tile[0] + key_tile[0] - 1, query_tile[1] + key_tile[1] - 1)
    if table.shape != expected:
        raise ValueError(f"the table must be {expected}, not {tuple(table.shape)}")
    with without_autocast(q.device):
        return fast.tile_attention(q, k, v, temperature, table, query_tile, key_tile, query_shift, key_shift)
