"""Frequency-domain self-attention solver."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.layers.norm import ChannelLayerNorm
from pellucid.ops.patches import multiplied, pad_to_patches, patch_stripes
from pellucid.ops.pixel_product import pixel_product
from pellucid.ops.row_stripes import RowStripe, depthwise_rows, whole_picture, worth_striping
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
        y_BHWC = pad_to_patches(y.permute(0, 2, 3, 1).contiguous())
        if not worth_striping(y, *self.parameters()):
            attended = self._attended(y_BHWC, whole_picture(y_BHWC.shape[1]))
            return self.project(attended.permute(0, 3, 1, 2))[..., :H, :W]
        out = torch.empty_like(y_BHWC)
        for b in range(y.shape[0]):
            self._in_stripes(y_BHWC[b : b + 1], out[b : b + 1])
        return out.permute(0, 3, 1, 2)[..., :H, :W]

    def _in_stripes(self, y: Tensor, out: Tensor) -> None:
        _, H, W, C = y.shape
        for stripe in patch_stripes(H, 3 * C * W, reach=1):
            attended = self._attended(y, stripe)
            out[:, stripe.rows] = pixel_product(attended, self.project.weight.flatten(1), self.project.bias)

    def _attended(self, y: Tensor, stripe: RowStripe) -> Tensor:
        """Compute v ⊙ LN(F⁻¹(F(q) ⊙ F(k))), (B, h, W, 2C), for a stripe of whole patches."""
        q, k = (self._mixed(y, third, stripe) for third in (0, 1))
        gamma, beta = self.norm.weight, self.norm.bias
        normalised = F.layer_norm(spectral_product(q, k), gamma.shape, gamma, beta, self.norm.epsilon)
        return multiplied(normalised, self._mixed(y, 2, stripe))

    def _mixed(self, y: Tensor, third: int, stripe: RowStripe) -> Tensor:
        """Compute q, k or v: a third of the channels of dw3×3(1×1(y)), contiguous in memory."""
        expand, depthwise = (
            (layer.weight.chunk(3)[third], None if layer.bias is None else layer.bias.chunk(3)[third])
            for layer in (self.qkv, self.depthwise)
        )
        t = pixel_product(y[:, stripe.read], expand[0].flatten(1), expand[1]).permute(0, 3, 1, 2)
        return depthwise_rows(t, *depthwise, stripe).permute(0, 2, 3, 1)
