"""Local convolutions weighted by channel."""

from torch import Tensor, nn
from torch.nn import functional as F


class ChannelAttentionBlock(nn.Module):
    """Two convolutions, whose channels are weighted by a gate that sees the whole picture.

    GRL (Li et al., CVPR 2023), section 3.1; the authors' class is `CAB`:

        c = 3×3(GELU(3×3(x)));   out = c ⊙ σ(W₂ ReLU(W₁ mean_HW(c)))

    Args:
        channels: C; the input and output are (B, C, H, W) of any H, W ≥ 1.
        hidden: channels between the convolutions; GRL has ⌊C / 4⌋.
        squeezed: channels inside the gate; GRL has ⌊C / 18⌋.
    """

    def __init__(self, channels: int, hidden: int, squeezed: int) -> None:
        super().__init__()
        self.compress = nn.Conv2d(channels, hidden, 3, padding=1)
        self.expand = nn.Conv2d(hidden, channels, 3, padding=1)
        self.squeeze = nn.Conv2d(channels, squeezed, 1)
        self.excite = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        c = self.expand(F.gelu(self.compress(x)))
        return c * self.excite(self.squeeze(c.mean((2, 3), keepdim=True)).relu()).sigmoid()
