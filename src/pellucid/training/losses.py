"""Losses between a restored batch and the clean one, each (B, C, H, W)."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import cast

import torch
from torch import Tensor


def l1(restored: Tensor, clean: Tensor) -> Tensor:
    """Mean |Δ|."""
    return (restored - clean).abs().mean()


def charbonnier(restored: Tensor, clean: Tensor) -> Tensor:
    """Mean √(Δ² + 10⁻⁶): near zero a square, so that what is small matters little."""
    return ((restored - clean).square() + 1e-6).sqrt().mean()


def frequency_l1(restored: Tensor, clean: Tensor) -> Tensor:
    """Mean |real part| and |imaginary part| of the difference's Fourier transform; FFTformer (CVPR 2023), section 3.4.

    The transform is not normalised, so the value grows with the square root of the crop's area.
    """
    spectrum = cast(Tensor, torch.fft.rfft2(restored.float() - clean.float()))  # not annotated by torch
    return torch.view_as_real(spectrum).abs().mean()


LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = MappingProxyType({"l1": l1, "charbonnier": charbonnier})
