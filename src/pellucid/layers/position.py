"""Learned position embedding."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LearnedPosition(nn.Module):
    """Add a learned vector to each position of a grid: X + E.

    GFNet (Rao et al., NeurIPS 2021), section 3.2. A grid of another size gets E interpolated as the authors do when
    they fine-tune at another resolution: bicubically, corners not aligned.

    Args:
        channels: C; the input and output are (B, C, H, W) of any H, W ≥ 1.
        height, width: of the grid for which E, (1, height · width, C), is stored.
    """

    def __init__(self, channels: int, height: int, width: int) -> None:
        super().__init__()
        self.size = (height, width)
        self.embedding = nn.Parameter(torch.empty(1, height * width, channels))
        nn.init.trunc_normal_(self.embedding, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        stored = self.embedding.view(1, *self.size, -1).permute(0, 3, 1, 2)
        if x.shape[-2:] == self.size:
            return x + stored
        return x + F.interpolate(stored, x.shape[-2:], mode="bicubic", align_corners=False)
