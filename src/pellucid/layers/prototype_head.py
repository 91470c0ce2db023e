"""Prototypical segmentation."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.layers.shots import check_shots, prototype

_KINDS = ("threshold", "softmax")
_SMALLEST_NORM = 1e-8


class PrototypeHead(nn.Module):
    """Segment the query by the similarity of its pixels to the mean of the marked support pixels.

    CAT-Net (Lin et al., MICCAI 2023), prototypical segmentation. With p the masked average of the support features,
    averaged over shots, and cos the cosine with a query pixel,

        threshold:  ρ = 1 − σ(½(A − t)) = σ(½(α cos(F^q, p) + t)),   A = −α cos(F^q, p), t learned, −10 at first
        softmax:    ρ = softmax(α cos(F^q, p)) over foreground and background, whose prototype averages under 1 − M

    Args:
        kind: "threshold" (ADNet's, which the authors' code has) or "softmax".
        alpha: α.

    `forward` takes support features (B·K, C, h, w), the K shots of an episode next to each other, query features
    (B, C, h', w') and support masks (B·K, 1, H, W) of any size, constant for the gradient; it returns ρ,
    (B, 1, h', w').

    Raises:
        ValueError: there is no such kind; in `forward`, shapes disagree.
    """

    def __init__(self, kind: str = "threshold", alpha: float = 20.0) -> None:
        super().__init__()
        if kind not in _KINDS:
            raise ValueError(f"kind must be {' or '.join(_KINDS)}, not {kind!r}")
        self.alpha = alpha
        self.t = nn.Parameter(torch.full((1,), -10.0)) if kind == "threshold" else None

    def forward(self, support: Tensor, query: Tensor, mask: Tensor) -> Tensor:
        check_shots(support, query, mask)
        mask = mask.detach().to(support.dtype)
        score = self.alpha * _cosine(query, prototype(support, mask, query.shape[0]))
        if self.t is not None:
            return torch.sigmoid(0.5 * (score + self.t))
        background = self.alpha * _cosine(query, prototype(support, 1 - mask, query.shape[0]))
        return torch.sigmoid(score - background)  # which is the softmax of two


def _cosine(query: Tensor, p: Tensor) -> Tensor:
    """Compute the cosine of each query pixel, (B, C, h, w), with p, (B, C), without a normalised copy of the map."""
    q_BhwC = query.permute(0, 2, 3, 1)
    products = (q_BhwC.flatten(1, 2) @ F.normalize(p, dim=-1, eps=_SMALLEST_NORM).unsqueeze(-1)).squeeze(-1)
    norms = cast(Tensor, torch.linalg.vector_norm(q_BhwC, dim=-1)).clamp_min(_SMALLEST_NORM)
    return (products.view_as(norms) / norms).unsqueeze(1)
