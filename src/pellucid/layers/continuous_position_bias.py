"""Continuous position bias: a small network of log-spaced relative positions."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.layers._weight_cache import WeightCache
from pellucid.ops.precision import without_autocast

_LARGEST_BIAS = 16
_LARGEST_COORDINATE = 8


class ContinuousPositionBias(nn.Module):
    """Temperature and position bias of cosine attention, for tiles of any size.

    Swin Transformer V2 (Liu et al., CVPR 2022) in GRL's form (Li et al., CVPR 2023), whose class is `AffineTransform`:

        β = 16 σ(W₂ ReLU(W₁ t + b₁)),   t = sign(u) log₂(|u| + 1) / log₂ 8,   u = 8 c / max c

    with c the relative positions of the tokens and anchors of a tile. Called with (rows, columns) of tokens and of
    anchors, which are the same for windows; returns the table that `tile_attention` reads, (h, token rows + anchor rows
    − 1, token columns + anchor columns − 1). Where no gradient is recorded it is computed once for each size.

    Args:
        heads: h.
        hidden: width of the small network.
    """

    def __init__(self, heads: int, hidden: int = 512) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.full((heads, 1, 1), math.log(10)))  # τ, a logarithm
        self.expand = nn.Linear(2, hidden)
        self.contract = nn.Linear(hidden, heads, bias=False)
        self._tables = WeightCache()

    def forward(self, tokens: tuple[int, int], anchors: tuple[int, int]) -> Tensor:
        weights = (self.expand.weight, self.expand.bias, self.contract.weight)
        return self._tables.get(weights, (tokens, anchors), lambda: _table(*weights, tokens, anchors))


def _table(w1: Tensor, b1: Tensor, w2: Tensor, tokens: tuple[int, int], anchors: tuple[int, int]) -> Tensor:
    """Evaluate the small network on the grid of relative positions, at least in float32."""
    dtype = torch.promote_types(w1.dtype, torch.float32)
    with without_autocast(w1.device):
        axes = [_coordinates(n, a, w1.device, dtype) for n, a in zip(tokens, anchors, strict=True)]
        t = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
        bias = F.linear(F.relu(F.linear(t, w1.to(dtype), b1.to(dtype))), w2.to(dtype))
        return (_LARGEST_BIAS * torch.sigmoid(bias)).permute(2, 0, 1)


def _coordinates(tokens: int, anchors: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return t for the relative positions on one axis, of which there are tokens + anchors − 1.

    They are normalised by the positive end, which differs from the negative where tokens − anchors is odd.
    """
    offset = (tokens - anchors) // 2
    end = tokens - 1 - offset
    u = torch.arange(1 - anchors - offset, end + 1, device=device).to(dtype) * (_LARGEST_COORDINATE / max(end, 1))
    return u.sign() * (u.abs() + 1).log2() / math.log2(_LARGEST_COORDINATE)
