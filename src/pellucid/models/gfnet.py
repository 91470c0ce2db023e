"""GFNet: a classification network that mixes positions by learned filters in the Fourier domain.

Y. Rao, W. Zhao, Z. Zhu, J. Lu, J. Zhou, "Global Filter Networks for Image Classification", NeurIPS 2021,
arXiv 2107.00645.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor, nn

from pellucid.layers import ChannelLayerNorm, GFBlock, LearnedPosition

# Bounds that no sensible network reaches, so that a file that lies about its size is refused before it is built.
_LARGEST_SIZE, _MOST_BLOCKS, _LARGEST_GRID = 2**14, 512, 1024


@dataclass(frozen=True, kw_only=True)
class GFNetConfig:
    """Everything that determines the network's shape.

    Attributes:
        in_channels: channels of the input.
        classes: logits of the output; 0 for a network without a classifier, whose output is what it would be given.
        image_size: height and width for which filters and position embedding are stored.
        patch_size: height and width of a patch.
        width: channels C.
        depth: blocks.
        mlp_ratio: a block has ⌊mlp_ratio · C⌋ hidden channels.
        layer_scale: the value at which the γ of the blocks start; None for blocks without γ, as released.
    """

    in_channels: int = 3
    classes: int = 1000
    image_size: int = 224
    patch_size: int = 16
    width: int = 384
    depth: int = 19
    mlp_ratio: float = 4.0
    layer_scale: float | None = None

    def __post_init__(self) -> None:
        classes = () if self.classes == 0 else (self.classes,)
        sizes = (self.in_channels, *classes, self.image_size, self.patch_size, self.width, self.depth)
        if not all(type(size) is int and 1 <= size <= _LARGEST_SIZE for size in sizes) or self.depth > _MOST_BLOCKS:
            raise ValueError(f"sizes must be whole numbers from 1 to {_LARGEST_SIZE}, and depth {_MOST_BLOCKS} at most")
        if not 1 <= self.grid <= _LARGEST_GRID:
            raise ValueError(
                f"an image of {self.image_size} must have 1 to {_LARGEST_GRID} patches of {self.patch_size}"
            )
        if not (1 / self.width <= self.mlp_ratio <= 64):
            raise ValueError(f"the ratio {self.mlp_ratio} must give each block hidden channels")
        if self.layer_scale is not None and not -1e6 < self.layer_scale < 1e6:
            raise ValueError(f"layer scale cannot start at {self.layer_scale}")

    @property
    def grid(self) -> int:
        """Height and width of the grid of patches; a remainder of the image is not seen."""
        return self.image_size // self.patch_size

    @property
    def hidden(self) -> int:
        """Hidden channels of a block; a ratio that was itself computed from them is not rounded below them."""
        return int(self.mlp_ratio * self.width + 1e-6)


GFNET_PRESETS: Mapping[str, GFNetConfig] = MappingProxyType(
    {
        "ti": GFNetConfig(width=256, depth=12),
        "xs": GFNetConfig(width=384, depth=12),
        "s": GFNetConfig(width=384, depth=19),
        "b": GFNetConfig(width=512, depth=19),
    }
)


class GFNet(nn.Module):
    """Classify an image of any height and width of at least one patch.

    Takes (B, in_channels, H, W), normalised by the mean and deviation of the training images, and returns
    (B, classes) logits; `features` returns the map before the classifier. Rows at the bottom and columns at the right
    that fill no patch are not seen. At another size than the configuration's, position embedding and filters are
    interpolated as the authors do when they fine-tune at another resolution.

    Raises:
        ValueError: the image is smaller than a patch.
    """

    def __init__(self, config: GFNetConfig) -> None:
        super().__init__()
        self.config = config
        grid = config.grid
        self.embed = nn.Conv2d(config.in_channels, config.width, config.patch_size, stride=config.patch_size)
        self.position = LearnedPosition(config.width, grid, grid)
        self.blocks = nn.Sequential(
            *(GFBlock(config.width, config.hidden, grid, grid, config.layer_scale) for _ in range(config.depth))
        )
        self.norm = ChannelLayerNorm(config.width, epsilon=1e-6)
        self.head = nn.Linear(config.width, config.classes) if config.classes else nn.Identity()
        if isinstance(self.head, nn.Linear):
            nn.init.trunc_normal_(self.head.weight, std=0.02)
            nn.init.zeros_(self.head.bias)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.features(image).mean((2, 3)))

    def features(self, image: Tensor) -> Tensor:
        """Return the last block's output, normalised: (B, C, ⌊H / patch_size⌋, ⌊W / patch_size⌋)."""
        H, W = image.shape[-2:]
        if min(H, W) < self.config.patch_size:
            raise ValueError(f"an image of {H} × {W} is smaller than a patch of {self.config.patch_size}")
        x = self.embed(image.contiguous(memory_format=torch.channels_last))
        return self.norm(self.blocks(self.position(x)))
