"""From picture to features."""

from torch import Tensor, nn


class OverlapPatchEmbed(nn.Module):
    """Embed each pixel with its 3×3 neighbourhood: one convolution without bias.

    Restormer (CVPR 2022), section 3; takes (B, C_in, H, W) and returns (B, C, H, W).
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.convolution(x)
