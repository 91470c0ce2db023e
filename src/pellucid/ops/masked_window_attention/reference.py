"""Masked window attention, written as the equation.

Axes: B batch, U V windows, h heads, d channels of a head, x y place of a query in its window, X Y place of a key.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def masked_window_attention(q: Tensor, k: Tensor, v: Tensor, height: Tensor, width: Tensor, window: int) -> Tensor:
    """TBSN, AAAI 2025: window attention whose mask leaves only displacements that are even in both directions."""
    B, H, W, C = q.shape
    d, overlap = height.shape[1], (height.shape[0] + 1) // 2
    bottom, right, reach = -H % window, -W % window, (overlap - window) // 2
    q = F.pad(q, (0, 0, 0, right, 0, bottom)) * d**-0.5
    kv = F.pad(torch.stack([k, v]), (0, 0, reach, right + reach, reach, bottom + reach))
    U, V = (H + bottom) // window, (W + right) // window
    q = q.unfold(1, window, window).unfold(2, window, window).reshape(B, U, V, C // d, d, window, window)
    k, v = kv.unfold(2, overlap, window).unfold(3, overlap, window).reshape(2, B, U, V, C // d, d, overlap, overlap)

    i, j = (torch.arange(side, device=q.device) for side in (window, overlap))
    offset = j - i[:, None]  # of key j from query i, in one direction
    scores = torch.einsum("BUVhdxy,BUVhdXY->BUVhxyXY", q, k)
    scores = scores + torch.einsum("BUVhdxy,xXd->BUVhxyX", q, height[offset + overlap - 1]).unsqueeze(-1)
    scores = scores + torch.einsum("BUVhdxy,yYd->BUVhxyY", q, width[offset + overlap - 1]).unsqueeze(-2)
    even = offset % 2 == 0
    visible = even[:, None, :, None] & even[:, None, :]
    attention = scores.masked_fill(~visible, -torch.inf).flatten(-2).softmax(-1).reshape(scores.shape)
    out = torch.einsum("BUVhxyXY,BUVhdXY->BUxVyhd", attention, v)
    return out.reshape(B, H + bottom, W + right, C)[:, :H, :W]
