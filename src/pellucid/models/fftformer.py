"""FFTformer: a U-shaped deblurring network that attends in the frequency domain, in its decoder only.

L. Kong, J. Dong, J. Ge, M. Li, J. Pan, "Efficient Frequency Domain-based Transformers for High-Quality Image
Deblurring", CVPR 2023, arXiv 2211.12250.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.layers import DFFN, FSAS, ChannelLayerNorm, OverlapPatchEmbed
from pellucid.layers.padding import pad_to_multiple

# Bounds that no sensible network reaches, so that a file that lies about its size is refused before it is built.
_LARGEST_SIZE, _MOST_BLOCKS = 2**14, 512
_LEVELS = 3
_PATCH = 8
_FUSE_EXPANSION = 2.66  # of Fuse, whatever that of the blocks


@dataclass(frozen=True, kw_only=True)
class FFTformerConfig:
    """Everything that determines the network's shape.

    Attributes:
        in_channels: channels of the input, which is added to the output.
        out_channels: channels of the output.
        width: channels D of the first level; level l has D · 2^l.
        blocks: blocks in the encoder at each of the three levels, and as many in the decoder.
        refinement: blocks at full resolution after the decoder.
        expansion: f; a feed-forward layer on C channels has ⌊f · C⌋ hidden channels.
        bias: biases in the convolutions of the blocks and of the output.
        unshuffle: pixel-unshuffle factor before the embedding, undone after the output. The paper's network has 1;
            2 computes on a quarter of the pixels, each with four times the input channels.
    """

    in_channels: int = 3
    out_channels: int = 3
    width: int = 48
    blocks: tuple[int, ...] = (6, 6, 12)
    refinement: int = 4
    expansion: float = 3.0
    bias: bool = False
    unshuffle: int = 1

    def __post_init__(self) -> None:
        sizes = (self.in_channels, self.out_channels, self.width, self.unshuffle, *self.blocks, self.refinement + 1)
        if not all(type(size) is int and 1 <= size <= _LARGEST_SIZE for size in sizes):
            raise ValueError(f"sizes and blocks must be whole numbers from 1 to {_LARGEST_SIZE}")
        if len(self.blocks) != _LEVELS or sum(self.blocks) + self.refinement > _MOST_BLOCKS:
            raise ValueError(f"there must be {_LEVELS} levels, with {_MOST_BLOCKS} blocks at most")
        if not 1 / self.width <= self.expansion <= 64:
            raise ValueError(f"the expansion factor {self.expansion} must give each layer hidden channels")
        if type(self.bias) is not bool:
            raise ValueError("bias must be true or false")
        if self.in_channels != self.out_channels:
            raise ValueError("the input is added to the output, so in_channels must equal out_channels")

    @property
    def multiple(self) -> int:
        """Height and width are padded to a multiple of this inside the network: whole patches at every level."""
        return self.unshuffle * _PATCH * 2 ** (_LEVELS - 1)


FFTFORMER_PRESETS: Mapping[str, FFTformerConfig] = MappingProxyType(
    {
        "base": FFTformerConfig(),
        "small": FFTformerConfig(width=24, blocks=(2, 2, 4), refinement=2, expansion=2.0, unshuffle=2),
    }
)


class FeedForwardBlock(nn.Module):
    """The encoder's block, x ← x + DFFN(LN(x)). Takes and returns (B, C, H, W)."""

    def __init__(self, channels: int, expansion: float, bias: bool) -> None:
        super().__init__()
        self.norm2 = ChannelLayerNorm(channels)
        self.feedforward = DFFN(channels, int(channels * expansion), bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.feedforward(self.norm2(x)).add_(x)


class FFTformerBlock(nn.Module):
    """The decoder's block, x ← x + FSAS(LN(x)); x ← x + DFFN(LN(x)). Takes and returns (B, C, H, W)."""

    def __init__(self, channels: int, expansion: float, bias: bool) -> None:
        super().__init__()
        self.norm1 = ChannelLayerNorm(channels)
        self.attention = FSAS(channels, bias)
        self.norm2 = ChannelLayerNorm(channels)
        self.feedforward = DFFN(channels, int(channels * expansion), bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.attention(self.norm1(x)).add_(x)
        return self.feedforward(self.norm2(x)).add_(x)


class BilinearDownsample(nn.Module):
    """Halve height and width and double the channels: means of 2×2 pixels, then a 3×3 convolution.

    The means are what bilinear interpolation to half the size gives. Takes (B, C, H, W) with even H, W and returns
    (B, 2C, H/2, W/2).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, 2 * channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.convolution(F.avg_pool2d(x, 2))


class BilinearUpsample(nn.Module):
    """Double height and width and halve the channels: bilinear interpolation, then a 3×3 convolution.

    Takes (B, C, H, W) with even C and returns (B, C/2, 2H, 2W).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, channels // 2, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.convolution(F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False))


class Fuse(nn.Module):
    """Join decoder features d and encoder features e, both (B, n, H, W), to (B, n, H, W).

    s = 1×1([d, e]);   s ← s + DFFN(LN(s));   out = the sum of both halves of 1×1(s), s having 2n channels.

    Summing halves of a product sums halves of its matrix, so the last convolution gives n channels at once; and the
    first takes d and e in turn, so that they are not copied into one tensor.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.join = nn.Conv2d(2 * channels, 2 * channels, 1)
        self.block = FeedForwardBlock(2 * channels, _FUSE_EXPANSION, bias=False)
        self.split = nn.Conv2d(2 * channels, 2 * channels, 1)

    def forward(self, d: Tensor, e: Tensor) -> Tensor:
        weight_d, weight_e = self.join.weight.chunk(2, dim=1)
        s = self.block(F.conv2d(d, weight_d, self.join.bias).add_(F.conv2d(e, weight_e)))
        n = d.shape[1]
        weight, bias = self.split.weight, self.split.bias
        return F.conv2d(s, weight[:n] + weight[n:], None if bias is None else bias[:n] + bias[n:])


class FFTformer(nn.Module):
    """Restore a picture of any height and width ≥ 1.

    Takes (B, in_channels, H, W) with values 0..1 and returns (B, out_channels, H, W), not clamped. The input is padded
    on the right and bottom to the configuration's multiple, by reflection (by repetition where the picture is smaller
    than the padding), and the output cropped back.

    The authors' network has a 1×1 convolution, here `unused`, that has no part in its output. It is kept so that
    the number of parameters and the weight files are theirs; its gradient stays None.
    """

    def __init__(self, config: FFTformerConfig) -> None:
        super().__init__()
        self.config = config
        unshuffled = config.unshuffle**2
        widths = [config.width * 2**level for level in range(_LEVELS)]
        levels = list(zip(widths, config.blocks, strict=True))

        def stage(block: type[FeedForwardBlock | FFTformerBlock], channels: int, count: int) -> nn.Sequential:
            return nn.Sequential(*(block(channels, config.expansion, config.bias) for _ in range(count)))

        self.embed = OverlapPatchEmbed(config.in_channels * unshuffled, config.width)
        self.encoders = nn.ModuleList(stage(FeedForwardBlock, *level) for level in levels)
        self.downs = nn.ModuleList(BilinearDownsample(width) for width in widths[:-1])
        # The decoder runs from the deepest level up, and begins where the encoder ends.
        self.decoders = nn.ModuleList(stage(FFTformerBlock, *level) for level in reversed(levels))
        self.ups = nn.ModuleList(BilinearUpsample(width) for width in reversed(widths[1:]))
        self.fuses = nn.ModuleList(Fuse(width) for width in reversed(widths[:-1]))
        self.refinement = stage(FFTformerBlock, config.width, config.refinement)
        self.unused = nn.Conv2d(widths[2], widths[1], 1, bias=config.bias)
        self.output = nn.Conv2d(config.width, config.out_channels * unshuffled, 3, padding=1, bias=config.bias)

    def forward(self, image: Tensor) -> Tensor:
        H, W = image.shape[-2:]
        padded = pad_to_multiple(image, self.config.multiple)
        x = self.encoders[0](self.embed(F.pixel_unshuffle(padded, self.config.unshuffle)))
        skips: list[Tensor] = []
        for down, blocks in zip(self.downs, list(self.encoders)[1:], strict=True):
            skips.append(x)
            x = blocks(down(x))
        x = self.decoders[0](x)
        for up, fuse, blocks in zip(self.ups, self.fuses, list(self.decoders)[1:], strict=True):
            x = blocks(fuse(up(x), skips.pop()))
        x = self.output(self.refinement(x))
        return (F.pixel_shuffle(x, self.config.unshuffle) + padded)[..., :H, :W]
