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
from pellucid.ops.row_stripes import row_stripes, worth_striping


def lattice_window_attention(q: Tensor, kv: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """Attend on lattices, in stripes of windows where no gradient is recorded.

    Args:
        q: (B, 2, 2, h, w, C), with h and w multiples of the side of a window on a lattice.
        kv: keys, then values, (B, 2, 2, h + 2r, w + 2r, 2C): with a border of r = (o − window) / 4 zeros around.
        height, width: H and W, (2o − 1, d).

    Returns:
        (B, 2, 2, h, w, C), in the memory order of q.
    """
    B, _, _, h, w, C = q.shape
    overlap = (height.shape[0] + 1) // 4  # sides on a lattice
    border = kv.shape[3] - h
    window = overlap - border
    positions = _position_vectors(height, width, window, overlap)
    if not worth_striping(q, kv, height, width):
        return _attend(q, kv, positions, window, overlap).flatten(5, 6).flatten(3, 4)
    out = torch.empty_like(q)
    tiles = out.view(B, 2, 2, h // window, window, w // window, window, C)
    gathered = kv[:, :, :, 0].numel() * overlap**2 // window**2  # values for a row of pixels
    step = max(1, next(row_stripes(h, gathered, border)).rows.stop // window)
    for start in range(0, h // window, step):
        rows = slice(start * window, (start + step) * window)
        keys = slice(rows.start, rows.stop + border)
        tiles[:, :, :, start : start + step] = _attend(q[:, :, :, rows], kv[:, :, :, keys], positions, window, overlap)
    return out


def _position_vectors(height: Tensor, width: Tensor, window: int, overlap: int) -> Tensor:
    """Return (H[·] + W[·]) / √d for every place of a query and of a key: (window², d, overlap²)."""
    d = height.shape[1]
    i, j = (torch.arange(side, device=height.device) for side in (window, overlap))
    rows = 2 * (j - i[:, None]) + 2 * overlap - 1
    vectors = height[rows][:, None, :, None] + width[rows][:, None, :]  # i₁ i₂ j₁ j₂ d
    return vectors.reshape(window**2, overlap**2, d).mT * d**-0.5


def _attend(q: Tensor, kv: Tensor, positions: Tensor, window: int, overlap: int) -> Tensor:
    """Attend in every window of some rows of windows: (B, 2, 2, rows, window, columns, window, C).

    Axes: n windows of all lattices, places i and j in a window of queries and of keys, h heads, d channels.
    """
    B, _, _, rows, columns, C = q.shape
    d = positions.shape[1]
    q = _windows(q, window, window).view(-1, window**2, C // d, d)  # n i h d
    kv = _windows(kv, overlap, window).view(-1, overlap**2, 2, C // d, d)
    by_place = q.flatten(1, 2).transpose(0, 1)  # (i h) n d
    bias = torch.bmm(by_place, positions.to(q.dtype).repeat_interleave(C // d, 0))  # (i h) n j
    bias = bias.view(window**2, C // d, -1, overlap**2).permute(2, 1, 0, 3)  # n h i j
    k, v = kv.permute(2, 0, 3, 1, 4).unbind(0)  # n h j d
    y = F.scaled_dot_product_attention(q.transpose(1, 2), k, v, attn_mask=bias).transpose(1, 2)
    return y.reshape(B, 2, 2, rows // window, columns // window, window, window, C).transpose(4, 5)


def _windows(t: Tensor, size: int, step: int) -> Tensor:
    """Gather windows of size × size every `step` pixels: (n, size², C)."""
    t = t.unfold(3, size, step).unfold(4, size, step)  # B 2 2 U V C i₁ i₂
    return t.permute(0, 1, 2, 3, 4, 6, 7, 5).flatten(5, 6).flatten(0, 4)


def masked_window_attention(q: Tensor, k: Tensor, v: Tensor, height: Tensor, width: Tensor, window: int) -> Tensor:
    """Same values and gradients as the reference, where window and overlap are blind-spot-safe."""
    _, H, W, _ = q.shape
    bottom, right, reach = -H % window, -W % window, ((height.shape[0] + 1) // 2 - window) // 2
    q = F.pad(q, (0, 0, 0, right, 0, bottom))
    kv = F.pad(torch.cat([k, v], dim=-1), (0, 0, reach, right + reach, reach, bottom + reach))
    out = lattice_window_attention(split_lattices(q), split_lattices(kv), height, width)
    return join_lattices(out)[:, :H, :W]
