"""Transposed (channel) attention, written as the equation. Axes: B batch, H W space, C channels, h heads, c = C / h."""

import torch
from torch import Tensor
from torch.nn import functional as F


def channel_attention(
    q: Tensor, k: Tensor, v: Tensor, temperature: Tensor, projection: Tensor, bias: Tensor | None
) -> Tensor:
    """Restormer, CVPR 2022, equation 1, as the released weights were trained: normalised q and k, multiplied by τ."""
    B, H, W, C = q.shape
    h = temperature.numel()
    q, k, v = (t.reshape(B, H * W, h, C // h).permute(0, 2, 3, 1) for t in (q, k, v))  # B h c N
    q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
    attention = torch.softmax(temperature.view(h, 1, 1) * (q @ k.transpose(-2, -1)), dim=-1)  # B h c c
    merged = (attention @ v).permute(0, 3, 1, 2).reshape(B, H, W, C)
    return F.linear(merged, projection, bias)
