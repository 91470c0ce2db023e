"""FFTformer's layers as the paper writes them, on (B, C, H, W) in contiguous memory."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.checkpoints import create
from pellucid.layers import DFFN, FSAS, ChannelLayerNorm, OverlapPatchEmbed
from pellucid.models.fftformer import BilinearDownsample, FeedForwardBlock, FFTformerBlock, Fuse
from plain.cases import Case
from plain.restormer import plain_norm


def patches(x: Tensor) -> Tensor:
    """Cut (B, C, H, W) into (B, C, H/8, W/8, 8, 8)."""
    return x.unflatten(3, (-1, 8)).unflatten(2, (-1, 8)).transpose(3, 4)


def picture(patches: Tensor) -> Tensor:
    """Join (B, C, H/8, W/8, 8, 8) to (B, C, H, W)."""
    return patches.transpose(3, 4).flatten(4, 5).flatten(2, 3)


def plain_fsas(layer: FSAS, y: Tensor) -> Tensor:
    """FSAS as written in the paper, but for the conjugate, without which its weights were trained."""
    t = F.conv2d(F.conv2d(y, layer.qkv.weight), layer.depthwise.weight, padding=1, groups=layer.depthwise.groups)
    q, k, v = t.chunk(3, dim=1)
    spectrum = torch.fft.rfft2(patches(q)) * torch.fft.rfft2(patches(k))
    A = picture(torch.fft.irfft2(spectrum, s=(8, 8)))
    return F.conv2d(v * layer.norm(A), layer.project.weight)


def plain_dffn(layer: DFFN, x: Tensor) -> Tensor:
    """DFFN as written in the paper. Its weights here are the same in conjugate bins, as training leaves them."""
    spectrum = torch.fft.rfft2(patches(F.conv2d(x, layer.expand.weight)))
    spectrum = spectrum * layer.spectral_weight.view(-1, 1, 1, 8, 5)
    t = picture(torch.fft.irfft2(spectrum, s=(8, 8)))
    t1, t2 = F.conv2d(t, layer.depthwise.weight, padding=1, groups=t.shape[1]).chunk(2, dim=1)
    return F.conv2d(F.gelu(t1) * t2, layer.project.weight)


def plain_feed_forward_block(block: FeedForwardBlock, x: Tensor) -> Tensor:
    """The encoder's block as written in the paper."""
    return x + block.feedforward(block.norm2(x))


def plain_block(block: FFTformerBlock, x: Tensor) -> Tensor:
    """The decoder's block as written in the paper."""
    x = x + block.attention(block.norm1(x))
    return x + block.feedforward(block.norm2(x))


def plain_fuse(fuse: Fuse, d: Tensor, e: Tensor) -> Tensor:
    """The fusion of decoder and encoder features as it is described."""
    s = F.conv2d(torch.cat([d, e], dim=1), fuse.join.weight, fuse.join.bias)
    first, second = F.conv2d(fuse.block(s), fuse.split.weight, fuse.split.bias).chunk(2, dim=1)
    return first + second


def plain_downsample(down: BilinearDownsample, x: Tensor) -> Tensor:
    """Bilinear interpolation to half the size, and the convolution."""
    halved = F.interpolate(x, scale_factor=0.5, mode="bilinear", align_corners=False)
    return F.conv2d(halved, down.convolution.weight, padding=1)


def plain_embed(embed: OverlapPatchEmbed, x: Tensor) -> Tensor:
    """The embedding, from and to contiguous memory."""
    return F.conv2d(x.contiguous(), embed.convolution.weight, padding=1)


def base() -> nn.Module:
    """The paper's network, with small residual branches, as in a trained one.

    At their random initial size, 52 of them in a row multiply rounding errors a hundredfold, ours and the plain ones.
    """
    network = create("fftformer", preset="base")
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("project.weight"):
                parameter.mul_(0.3)
    return network


PLAIN = {
    FSAS: plain_fsas,
    DFFN: plain_dffn,
    ChannelLayerNorm: plain_norm,
    FeedForwardBlock: plain_feed_forward_block,
    FFTformerBlock: plain_block,
    Fuse: plain_fuse,
    BilinearDownsample: plain_downsample,
    OverlapPatchEmbed: plain_embed,
}
LAYERS = (
    Case(name="FSAS", make=lambda: FSAS(48), shape=(1, 48, 256, 256)),
    Case(name="DFFN", make=lambda: DFFN(48, 144), shape=(1, 48, 256, 256)),
    Case(name="FFTformerBlock", make=lambda: FFTformerBlock(48, 3.0, bias=False), shape=(1, 48, 256, 256)),
)
NETWORKS = (Case(name="FFTformer", make=base, shape=(1, 3, 256, 256)),)
