"""The prior mask without the map of all cosines.

Of all support pixels only the best counts, in the value and in the gradient:

    j*(i) = argmax_j cos(F^q_i, m_j F^s_j),   π_i = cos(F^q_i, m_j* F^s_j*)

so the search runs over stripes of query pixels and records nothing, and one cosine for each query pixel is computed
again where the gradient can see it.
"""

import torch
from torch import Tensor

from pellucid.ops.prior_mask.reference import EPSILON, norms
from pellucid.ops.row_stripes import row_stripes


def prior_mask(query: Tensor, support: Tensor, mask: Tensor) -> Tensor:
    """Same values and gradients as the reference, in float32 at least."""
    B, H, W, C = query.shape
    dtype = torch.promote_types(query.dtype, torch.float32)
    q, s = query.flatten(1, 2).to(dtype), (mask * support).flatten(1, 2).to(dtype)  # B N C
    best = _most_similar(q.detach(), s.detach())  # B N
    s = s.gather(1, best[:, :, None].expand(-1, -1, C))
    pi = (q * s).sum(-1) / (norms(q) * norms(s) + EPSILON)
    low, high = pi.amin(1, keepdim=True), pi.amax(1, keepdim=True)
    return ((pi - low) / (high - low + EPSILON)).view(B, H, W, 1).to(query.dtype)


def _most_similar(q: Tensor, s: Tensor) -> Tensor:
    """For each of q, (B, N, C), the index of the one of s, (B, L, C), with the largest cosine."""
    B, N, _ = q.shape
    q_norms, s_norms, s_t = norms(q)[:, :, None], norms(s)[:, None, :], s.mT
    best = [
        (q[:, stripe.rows] @ s_t).div_((q_norms[:, stripe.rows] * s_norms).add_(EPSILON)).argmax(-1)
        for stripe in row_stripes(N, 2 * B * s.shape[1], reach=0)
    ]
    return torch.cat(best, dim=1)
