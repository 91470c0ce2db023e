"""The product of the spectra of patches, written as the equation."""

import torch
from torch import Tensor
from torch.nn import functional as F


def spectral_product(q: Tensor, k: Tensor) -> Tensor:
    """FFTformer, CVPR 2023, equation 3, as the released weights were trained: A = F⁻¹(F(q) ⊙ F(k)), no conjugate."""
    _, H, W, _ = q.shape
    q, k = (F.pad(t, (0, 0, 0, -W % 8, 0, -H % 8)) for t in (q, k))
    q, k = (t.unflatten(2, (-1, 8)).unflatten(1, (-1, 8)) for t in (q, k))  # B H/8 a W/8 b C
    spectrum = torch.fft.rfft2(q, dim=(2, 4)) * torch.fft.rfft2(k, dim=(2, 4))
    A = torch.fft.irfft2(spectrum, s=(8, 8), dim=(2, 4))
    return A.flatten(3, 4).flatten(1, 2)[:, :H, :W]
