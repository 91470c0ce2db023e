"""Frequency-domain self-attention solver."""

import torch
from torch import Tensor, nn

from pellucid.layers.norm import ChannelLayerNorm
from pellucid.ops.patch_spectrum import pad_to_patches, patch_stripes
from pellucid.ops.row_stripes import worth_striping
from pellucid.ops.spectral_product import spectral_product


class FSAS(nn.Module):
    """Attention as the product of the spectra of 8×8 patches, without a score matrix.

    FFTformer (Kong et al., CVPR 2023), section 3.1:

        q, k, v = dw3×3(1×1(y));   A = F⁻¹(F(q) ⊙ F(k));   out = 1×1(v ⊙ LN(A))

    with F the discrete Fourier transform of each channel of each 8×8 patch, and q, k, v of 2C channels each. The paper
    writes the conjugate of F(k); the released weights were trained without it, and so it is here. The cost is linear in
    the number of pixels.

    Args:
        channels: C; the input and output are (B, C, H, W) of any H, W ≥ 1. Where they are no multiples of 8, the input
            is padded with zeros on the right and bottom, and the output cropped.
        bias: whether the three convolutions have biases.
    """

    def __init__(self, channels: int, bias: bool = False) -> None:
        super().__init__()
        self.qkv = nn.Conv2d(channels, 6 * channels, 1, bias=bias)
        self.depthwise = nn.Conv2d(6 * channels, 6 * channels, 3, padding=1, groups=6 * channels, bias=bias)
        self.norm = ChannelLayerNorm(2 * channels)
        self.project = nn.Conv2d(2 * channels, channels, 1, bias=bias)

    def forward(self, y: Tensor) -> Tensor:
        B, C, H, W = y.shape
        padded = pad_to_patches(y.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        if not worth_striping(y, *self.parameters()):
            return self._attended(self._mixed(padded))[..., :H, :W]
        out = torch.empty_like(padded)
        for rows in patch_stripes(padded.shape[2], B * padded.shape[3] * 6 * C):
            above = min(rows.start, 1)  # the convolution's reach, where the picture goes on
            t = self._mixed(padded[:, :, rows.start - above : rows.stop + 1])
            out[:, :, rows] = self._attended(t[:, :, above : above + rows.stop - rows.start])
        return out[..., :H, :W]

    def _mixed(self, y: Tensor) -> Tensor:
        return self.depthwise(self.qkv(y))

    def _attended(self, t: Tensor) -> Tensor:
        q, k, v = t.permute(0, 2, 3, 1).chunk(3, dim=-1)
        A = self.norm(spectral_product(q, k).permute(0, 3, 1, 2))
        return self.project(v.permute(0, 3, 1, 2) * A)
