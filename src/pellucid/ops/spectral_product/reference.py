"""The product of the spectra of patches, written as the equation."""

from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F


def spectral_product(q: Tensor, k: Tensor) -> Tensor:
    """FFTformer, CVPR 2023, equation 3, as the released weights were trained: A = F⁻¹(F(q) ⊙ F(k)), no conjugate."""
    _, H, W, _ = q.shape
    A = cast(Tensor, torch.fft.irfft2(_spectrum(q) * _spectrum(k), s=(8, 8), dim=(2, 4)))
    return A.flatten(3, 4).flatten(1, 2)[:, :H, :W]


def _spectrum(x: Tensor) -> Tensor:
    """Transform patches to (B, H/8, 8, W/8, 5, C)."""
    B, H, W, C = x.shape
    padded = F.pad(x, (0, 0, 0, -W % 8, 0, -H % 8))
    return cast(Tensor, torch.fft.rfft2(padded.reshape(B, -(-H // 8), 8, -(-W // 8), 8, C), dim=(2, 4)))
