"""A weight for each frequency of patches, written as the equation."""

from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F


def spectral_weight(y: Tensor, weight: Tensor, projection: Tensor, bias: Tensor | None) -> Tensor:
    """FFTformer, CVPR 2023, section 3.2: t = F⁻¹(W̄ ⊙ F(P y + bias)).

    In columns 0 and 4 of the half spectrum both of two conjugate bins are stored. Only the mean of their weights,
    W̄[u,v] = ½ (W[u,v] + W[−u,v]), has an effect on a real patch.
    """
    B, H, W, _ = y.shape
    t = F.linear(F.pad(y, (0, 0, 0, -W % 8, 0, -H % 8)), projection, bias)
    patches = t.reshape(B, t.shape[1] // 8, 8, t.shape[2] // 8, 8, -1)
    mean = (weight + weight.flip(1).roll(1, 1)) / 2  # C u v: of u and −u mod 8
    symmetric = torch.cat([mean[..., :1], weight[..., 1:4], mean[..., 4:]], dim=-1)
    spectrum = cast(Tensor, torch.fft.rfft2(patches, dim=(2, 4)))  # B H/8 u W/8 v C
    weighted = symmetric.permute(1, 2, 0).unsqueeze(1) * spectrum
    return cast(Tensor, torch.fft.irfft2(weighted, s=(8, 8), dim=(2, 4))).flatten(3, 4).flatten(1, 2)[:, :H, :W]
