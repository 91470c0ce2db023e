"""Masked average pooling on the features' own grid.

Bilinear enlargement is linear and separable: with U_h and U_w the matrices that enlarge columns and rows, the enlarged
features are U_h F U_wᵀ in each channel. Its adjoint pulls the mask back instead, once for all channels:

    ⟨U_h F U_wᵀ, M⟩ = ⟨F, U_hᵀ M U_w⟩

so the features are never enlarged, and the pooling is one product of a vector with the map of features.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.ops.masked_pooling.reference import EPSILON


def masked_average_pooling(features: Tensor, mask: Tensor) -> Tensor:
    """Same values and gradients as the reference; sums are taken in float32 at least."""
    B, h, w, _ = features.shape
    dtype = torch.promote_types(features.dtype, torch.float32)
    M = mask.squeeze(-1).to(dtype)  # B H W
    weights = pulled_back(M, h, w).reshape(B, 1, h * w)
    sums = weights @ features.flatten(1, 2).to(dtype)  # B 1 C
    return (sums.squeeze(1) / (M.sum((1, 2)).unsqueeze(-1) + EPSILON)).to(features.dtype)


def pulled_back(mask: Tensor, height: int, width: int) -> Tensor:
    """Apply the adjoint of the enlargement from (height, width) to a mask (B, H, W): U_hᵀ M U_w."""
    _, H, W = mask.shape
    if mask.shape[1:] == (height, width):  # nothing is enlarged
        return mask
    return _enlargement(height, H, mask) @ mask @ _enlargement(width, W, mask).mT


def _enlargement(size: int, enlarged: int, like: Tensor) -> Tensor:
    """Uᵀ, (size, enlarged): what each of `size` values gives to each of `enlarged` ones."""
    identity = torch.eye(size, dtype=like.dtype, device=like.device)
    return F.interpolate(identity[None], enlarged, mode="linear", align_corners=False)[0]
