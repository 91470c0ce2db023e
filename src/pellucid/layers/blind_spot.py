"""The parts of a blind-spot network that are not attention: its embedding and its changes of resolution."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.ops.lattices import from_lattices, to_lattices


class CentreMaskedConv2d(nn.Module):
    """A 3×3 convolution that does not see its centre: conv3×3(x; W ⊙ M), where M is 0 in the middle and 1 elsewhere.

    The embedding of TBSN (Li et al., AAAI 2025). All eight displacements that are left have an odd coordinate, so a
    pixel of the result has seen no pixel of its own parity class. Takes (B, C_in, H, W) and returns (B, C, H, W).
    """

    def __init__(self, in_channels: int, channels: int, bias: bool = False) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(in_channels, channels, 3, padding=1, bias=bias)
        with torch.no_grad():
            self.convolution.weight[:, :, 1, 1] = 0

    def forward(self, x: Tensor) -> Tensor:
        mask = self.convolution.weight.new_ones(3, 3)
        mask[1, 1] = 0
        return F.conv2d(x, self.convolution.weight * mask, self.convolution.bias, padding=1)


class PatchUnshuffleDownsample(nn.Module):
    """Halve height and width and double the channels, keeping every pixel's parity class.

    A 1×1 convolution to C/2, then patches of 2×2 pixels move into channels, where a pixel-unshuffle would move pixels:

        y[4c + 2i + j, 2u + a, 2v + b] = x[c, 4u + 2i + a, 4v + 2j + b],    a, b, i, j ∈ {0, 1}

    Patch-unshuffle of PUCA (arXiv 2310.10088), used by TBSN (Li et al., AAAI 2025); on a parity lattice it is the
    pixel-unshuffle. Takes (B, C, H, W) with even C and H, W divisible by 4, and returns (B, 2C, H/2, W/2).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, channels // 2, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return from_lattices(self.on_lattices(to_lattices(x)))

    def on_lattices(self, x: Tensor) -> Tensor:
        """Compute the same of lattices, (4B, C, h, w), as `to_lattices` stacks them."""
        return F.pixel_unshuffle(self.convolution(x), 2)


class PatchShuffleUpsample(nn.Module):
    """Double height and width and halve the channels, keeping every pixel's parity class.

    A 1×1 convolution to 2C, then the inverse of the patch-unshuffle in `PatchUnshuffleDownsample`. Takes (B, C, H, W)
    with even C, H and W, and returns (B, C/2, 2H, 2W).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, 2 * channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return from_lattices(self.on_lattices(to_lattices(x)))

    def on_lattices(self, x: Tensor) -> Tensor:
        """Compute the same of lattices, (4B, C, h, w), as `to_lattices` stacks them."""
        return F.pixel_shuffle(self.convolution(x), 2)
