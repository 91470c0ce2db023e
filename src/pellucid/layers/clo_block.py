"""CloFormer's block: the token mixer, then the feed-forward layer, which may lead to the next stage."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.layers.clo_attention import CloAttention
from pellucid.layers.conv_ffn import ConvFFN
from pellucid.layers.parameters import batch_norm_affine, matrix_and_bias
from pellucid.layers.picture_norm import PictureNorm


class CloBlock(nn.Module):
    """One block of CloFormer, with both residuals.

    CloFormer (Fan et al., 2023), section 3.1, with GN normalising each picture as a whole:

        y = x + CloAttention(GN₁(x));   out = S(y) + ConvFFN(GN₂(y))

    Within a stage S is the identity. The last block of a stage leads to the next: its ConvFFN has stride 2, and S is a
    dense k×k convolution of stride 2, batch normalisation and a 1×1 convolution.

    Args:
        channels: C; the input is (B, C, H, W), with H and W at least `pool` if there is a global branch.
        heads, splits, kernel_sizes, pool: as for CloAttention.
        hidden: hidden width of the feed-forward layer; CloFormer uses 4 C.
        feedforward_kernel: k, odd.
        next_channels: where given, the block leads to the next stage: (B, next_channels, ⌈H/2⌉, ⌈W/2⌉).
        drop_path: in training, the probability with which a picture skips a residual branch.

    Raises:
        ValueError: as CloAttention and ConvFFN do.
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        splits: Sequence[int],
        kernel_sizes: Sequence[int],
        pool: int,
        hidden: int,
        feedforward_kernel: int = 5,
        next_channels: int | None = None,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        stride = 1 if next_channels is None else 2
        self.norm1 = PictureNorm(channels)
        self.mixer = CloAttention(channels, heads, splits, kernel_sizes, pool)
        self.norm2 = PictureNorm(channels)
        self.feedforward = ConvFFN(channels, hidden, feedforward_kernel, next_channels, stride)
        self.shortcut = (
            nn.Identity() if next_channels is None else _Shortcut(channels, feedforward_kernel, next_channels)
        )
        self.drop_path = drop_path

    def forward(self, x: Tensor) -> Tensor:
        return self.transformed(self.mixed(x))

    def mixed(self, x: Tensor) -> Tensor:
        """First half: y, of the size of x."""
        return self._dropped(self.mixer(self.norm1(x))).add_(x)

    def transformed(self, y: Tensor) -> Tensor:
        """Second half: the output."""
        return self._dropped(self.feedforward(self.norm2(y))).add_(self.shortcut(y))

    def _dropped(self, branch: Tensor) -> Tensor:
        """Stochastic depth (Huang et al., 2016): leave out the branch of some pictures, and scale those of the rest."""
        if not self.training or not self.drop_path:
            return branch
        keep = 1 - self.drop_path
        return branch * branch.new_empty(branch.shape[0], 1, 1, 1).bernoulli_(keep).div_(keep)


class _Shortcut(nn.Module):
    """S(y) = 1×1(BN(conv_k×k, stride 2(y))).

    In evaluation BN(z) = s ⊙ z + t goes into the convolution after it: W(s ⊙ z + t) + b = (W diag s) z + (W t + b).
    """

    def __init__(self, channels: int, kernel_size: int, out_channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, channels, kernel_size, 2, kernel_size // 2)
        self.norm = nn.BatchNorm2d(channels)
        self.project = nn.Conv2d(channels, out_channels, 1)

    def forward(self, y: Tensor) -> Tensor:
        z = self.convolution(y)
        if self.training:
            return self.project(self.norm(z))
        (scale, shift), (weight, bias) = batch_norm_affine(self.norm), matrix_and_bias(self.project)
        return F.conv2d(z, (weight * scale)[:, :, None, None], torch.addmv(bias, weight, shift))
