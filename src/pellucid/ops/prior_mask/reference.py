"""The prior mask, written as the equation."""

from typing import cast

import torch
from torch import Tensor

EPSILON = 1e-7


def prior_mask(query: Tensor, support: Tensor, mask: Tensor) -> Tensor:
    """π_i = max_j cos(F^q_i, m_j F^s_j), then (π − min π) / (max π − min π + ε), both over the picture."""
    B, H, W, _ = query.shape
    q, s = query.flatten(1, 2), (mask * support).flatten(1, 2)  # B N C
    cosine = (q @ s.mT) / (norms(q)[:, :, None] * norms(s)[:, None, :] + EPSILON)
    pi = cosine.max(dim=-1).values
    low, high = pi.amin(1, keepdim=True), pi.amax(1, keepdim=True)
    return ((pi - low) / (high - low + EPSILON)).view(B, H, W, 1)


def norms(t: Tensor) -> Tensor:
    """The length of each vector of the last axis."""
    return cast(Tensor, torch.linalg.vector_norm(t, dim=-1))
