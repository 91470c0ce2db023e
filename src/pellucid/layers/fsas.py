"""Frequency-domain self-attention solver."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.layers.norm import ChannelLayerNorm
from pellucid.ops.local_projection import LocalProjection, thirds
from pellucid.ops.patches import multiplied, pad_to_patches, patch_stripes
from pellucid.ops.pixel_product import PixelMap
from pellucid.ops.row_stripes import RowStripe, whole_picture, worth_striping
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
        H, W = y.shape[-2:]
        y = pad_to_patches(y.permute(0, 2, 3, 1).contiguous()).permute(0, 3, 1, 2)
        projections = thirds(self.qkv.weight, self.qkv.bias, self.depthwise.weight, self.depthwise.bias)
        if not worth_striping(y, *self.parameters()):
            attended = self._attended(y, whole_picture(y.shape[2]), projections)
            return self.project(attended)[..., :H, :W]
        project = PixelMap(self.project.weight.flatten(1), self.project.bias)
        out = torch.empty_like(y)
        for b in range(len(y)):
            for stripe in patch_stripes(y.shape[2], 3 * y.shape[1] * y.shape[3], reach=1):
                out[b : b + 1, :, stripe.rows] = project(self._attended(y[b : b + 1], stripe, projections))
        return out[..., :H, :W]

    def _attended(self, y: Tensor, stripe: RowStripe, projections: Sequence[LocalProjection]) -> Tensor:
        """Compute v ⊙ LN(F⁻¹(F(q) ⊙ F(k))), (B, 2C, h, W), for a stripe of whole patches of y, (B, C, H, W)."""
        query, key, value = projections
        gamma, beta = self.norm.weight, self.norm.bias
        product = spectral_product(query(y, stripe), key(y, stripe))
        normalised = F.layer_norm(product, gamma.shape, gamma, beta, self.norm.epsilon)
        return multiplied(normalised, value(y, stripe)).permute(0, 3, 1, 2)
