"""Changing resolution by moving pixels into channels and back."""

from torch import Tensor, nn
from torch.nn import functional as F


class PixelUnshuffleDownsample(nn.Module):
    """Halve height and width and double the channels: a 3×3 convolution to C/2, then a pixel-unshuffle by 2.

    Restormer (CVPR 2022), section 3; takes (B, C, H, W) with even C, H, W and returns (B, 2C, H/2, W/2).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, channels // 2, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_unshuffle(self.convolution(x), 2)


class PixelShuffleUpsample(nn.Module):
    """Double height and width and halve the channels: a 3×3 convolution to 2C, then a pixel-shuffle by 2.

    Restormer (CVPR 2022), section 3; takes (B, C, H, W) with even C and returns (B, C/2, 2H, 2W).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, 2 * channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.convolution(x), 2)
