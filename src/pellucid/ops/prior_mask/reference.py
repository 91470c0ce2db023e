"""The prior mask, written as the equation."""

from torch import Tensor

EPSILON = 1e-7


def prior_mask(query: Tensor, support: Tensor, mask: Tensor) -> Tensor:
    """π_i = max_j cos(F^q_i, m_j F^s_j), then (π − min π) / (max π − min π + ε), both over the picture."""
    B, H, W, _ = query.shape
    q, s = query.flatten(1, 2), (mask * support).flatten(1, 2)  # B N C
    norms = q.norm(dim=-1)[:, :, None] * s.norm(dim=-1)[:, None, :]
    cosine = (q @ s.mT) / (norms + EPSILON)
    pi = cosine.max(dim=-1).values
    low, high = pi.amin(1, keepdim=True), pi.amax(1, keepdim=True)
    return ((pi - low) / (high - low + EPSILON)).view(B, H, W, 1)
