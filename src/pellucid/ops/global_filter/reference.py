"""The global filter, written as the equation."""

from typing import cast

import torch
from torch import Tensor


def global_filter(x: Tensor, weight: Tensor) -> Tensor:
    """Y = IRFFT2(RFFT2(X) ⊙ K), with both transforms orthonormal over H and W."""
    H, W = x.shape[1:3]
    K = torch.view_as_complex(weight.contiguous())
    X = cast(Tensor, torch.fft.rfft2(x, dim=(1, 2), norm="ortho"))
    return cast(Tensor, torch.fft.irfft2(X * K, s=(H, W), dim=(1, 2), norm="ortho"))
