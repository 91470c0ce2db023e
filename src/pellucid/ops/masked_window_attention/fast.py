"""Masked window attention as ordinary window attention on the four parity lattices.

Only displacements that are even in both directions are unmasked, so query and key lie on one lattice. With w the window
and o the overlapping window, both even, on a lattice

    s_ij = q_i · (k_j + H[2(j₁−i₁) + o − 1] + W[2(j₂−i₂) + o − 1]) / √d,    0 ≤ i < w/2,  0 ≤ j < o/2

in each direction, and no mask: a quarter of the scores. The position vectors H[·] + W[·] depend on i and j alone, so
their products with all queries at one place of the windows are one matrix product.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.ops.lattices import join_lattices, split_lattices
from pellucid.ops.row_stripes import worth_striping

_STRIPE_VALUES = 5 << 18  # values of the keys and values gathered for a stripe of windows: 5 MiB in float32


def lattice_window_attention(q: Tensor, k: Tensor, v: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """Attend on lattices, in stripes of windows where no gradient is recorded.

    Args:
        q: (B, 2, 2, h, w, C), with h and w multiples of the side of a window on a lattice.
        k, v: (B, 2, 2, h + 2r, w + 2r, C): a border of r = (o − window) / 4 zeros around.
        height, width: H and W, (2o − 1, d).

    Returns:
        (B, 2, 2, h, w, C), in the memory order of q.
    """
    overlap = (height.shape[0] + 1) // 4  # sides on a lattice
    border = k.shape[3] - q.shape[3]
    window = overlap - border
    positions = _position_vectors(height, width, window, overlap)
    if not worth_striping(q, k, v, height, width):
        return _attend(q, k, v, positions, window, overlap).flatten(5, 6).flatten(3, 4)
    out = torch.empty_like(q)
    tiles = out.unflatten(4, (-1, window)).unflatten(3, (-1, window))
    gathered = 2 * k[:, :, :, 0].numel() * overlap**2 // window  # values for one row of windows
    step = max(1, _STRIPE_VALUES // gathered)
    for start in range(0, tiles.shape[3], step):
        rows = slice(start * window, (start + step) * window)
        keys = slice(rows.start, rows.stop + border)
        stripe = (q[:, :, :, rows], k[:, :, :, keys], v[:, :, :, keys])
        tiles[:, :, :, start : start + step] = _attend(*stripe, positions, window, overlap)
    return out


def _position_vectors(height: Tensor, width: Tensor, window: int, overlap: int) -> Tensor:
    """Return (H[·] + W[·]) / √d for every place of a query and of a key: (window², d, overlap²)."""
    d = height.shape[1]
    i, j = (torch.arange(side, device=height.device) for side in (window, overlap))
    rows = 2 * (j - i[:, None]) + 2 * overlap - 1
    vectors = height[rows][:, None, :, None] + width[rows][:, None, :]  # i₁ i₂ j₁ j₂ d
    return vectors.reshape(window**2, overlap**2, d).mT * d**-0.5


def _attend(q: Tensor, k: Tensor, v: Tensor, positions: Tensor, window: int, overlap: int) -> Tensor:
    """Attend in every window of some rows of windows: (B, 2, 2, rows, window, columns, window, C)."""
    B, _, _, h, w, _ = q.shape
    d = positions.shape[1]
    q, k, v = (
        _windows(t, size, window).unflatten(-1, (-1, d)) for t, size in ((q, window), (k, overlap), (v, overlap))
    )  # windows of all lattices n, places i or j, heads h, channels d
    heads = q.shape[2]
    by_place = q.flatten(1, 2).transpose(0, 1)  # (i h) n d
    bias = torch.bmm(by_place, positions.to(q.dtype).repeat_interleave(heads, 0))  # (i h) n j
    bias = bias.unflatten(0, (-1, heads)).permute(2, 1, 0, 3)  # n h i j
    y = F.scaled_dot_product_attention(*(t.transpose(1, 2) for t in (q, k, v)), attn_mask=bias)
    y = y.transpose(1, 2).reshape(B, 2, 2, h // window, w // window, window, window, heads * d)
    return y.transpose(4, 5)


def _windows(t: Tensor, size: int, step: int) -> Tensor:
    """Gather windows of size × size every `step` pixels: (n, size², C)."""
    t = t.unfold(3, size, step).unfold(4, size, step)  # B a b U V C i₁ i₂
    return t.permute(0, 1, 2, 3, 4, 6, 7, 5).flatten(5, 6).flatten(0, 4)


def masked_window_attention(q: Tensor, k: Tensor, v: Tensor, height: Tensor, width: Tensor, window: int) -> Tensor:
    """Same values and gradients as the reference, where window and overlap are blind-spot-safe."""
    _, H, W, _ = q.shape
    bottom, right, reach = -H % window, -W % window, ((height.shape[0] + 1) // 2 - window) // 2
    q = F.pad(q, (0, 0, 0, right, 0, bottom))
    k, v = (F.pad(t, (0, 0, reach, right + reach, reach, bottom + reach)) for t in (k, v))
    out = lattice_window_attention(*(split_lattices(t) for t in (q, k, v)), height, width)
    return join_lattices(out)[:, :H, :W]
