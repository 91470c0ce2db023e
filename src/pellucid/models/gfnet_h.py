"""GFNet-H: the hierarchical global filter network, whose grid is halved from stage to stage.

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
class GFNetHConfig:
    """Everything that determines the network's shape.

    Attributes:
        in_channels: channels of the input.
        classes: logits of the output; 0 for a network without a classifier, whose output is what it would be given.
        image_size: height and width for which filters and position embedding are stored.
        patch_size: height and width of a patch of the first stage; each later stage halves the grid.
        widths: channels of each stage.
        depths: blocks of each stage.
        mlp_ratios: for each stage, γ such that its blocks have ⌊γ · C⌋ hidden channels.
        layer_scale: the value at which the γ of the blocks start; None for blocks without γ.
    """

    in_channels: int = 3
    classes: int = 1000
    image_size: int = 224
    patch_size: int = 4
    widths: tuple[int, ...] = (96, 192, 384, 768)
    depths: tuple[int, ...] = (3, 3, 10, 3)
    mlp_ratios: tuple[float, ...] = (4.0, 4.0, 4.0, 4.0)
    layer_scale: float | None = 1e-5

    def __post_init__(self) -> None:
        classes = () if self.classes == 0 else (self.classes,)
        sizes = (self.in_channels, *classes, self.image_size, self.patch_size, *self.widths, *self.depths)
        if not all(type(size) is int and 1 <= size <= _LARGEST_SIZE for size in sizes):
            raise ValueError(f"sizes, widths and depths must be whole numbers from 1 to {_LARGEST_SIZE}")
        if not len(self.widths) == len(self.depths) == len(self.mlp_ratios):
            raise ValueError(f"{self.widths}, {self.depths} and {self.mlp_ratios} must name the same number of stages")
        if not 1 <= len(self.widths) <= 8 or sum(self.depths) > _MOST_BLOCKS:
            raise ValueError(f"there must be 1 to 8 stages, with {_MOST_BLOCKS} blocks at most")
        if not 1 <= self.grids[-1] <= self.grids[0] <= _LARGEST_GRID:
            raise ValueError(
                f"an image of {self.image_size} must have 1 to {_LARGEST_GRID} patches of {self.patch_size}, "
                f"and one left after {len(self.widths) - 1} halvings"
            )
        if not all(1 / width <= ratio <= 64 for width, ratio in zip(self.widths, self.mlp_ratios, strict=True)):
            raise ValueError(f"the ratios {self.mlp_ratios} must give each block hidden channels")
        if self.layer_scale is not None and not -1e6 < self.layer_scale < 1e6:
            raise ValueError(f"layer scale cannot start at {self.layer_scale}")

    @property
    def grids(self) -> tuple[int, ...]:
        """Height and width of each stage's grid; remainders are not seen."""
        return tuple(self.image_size // self.patch_size // 2**stage for stage in range(len(self.widths)))

    @property
    def hidden(self) -> tuple[int, ...]:
        """Hidden channels of each stage; a ratio that was itself computed from them is not rounded below them."""
        return tuple(int(ratio * width + 1e-6) for width, ratio in zip(self.widths, self.mlp_ratios, strict=True))


GFNETH_PRESETS: Mapping[str, GFNetHConfig] = MappingProxyType(
    {
        "ti": GFNetHConfig(widths=(64, 128, 256, 512), layer_scale=1e-3),
        "s": GFNetHConfig(),
        "b": GFNetHConfig(depths=(3, 3, 27, 3), layer_scale=1e-6),
    }
)


class GFNetH(nn.Module):
    """Classify an image of any height and width of which the last stage still sees something: 32 in the released nets.

    Takes (B, in_channels, H, W), normalised by the mean and deviation of the training images, and returns
    (B, classes) logits; `pyramid` returns the maps of all stages, and `features` the last one normalised. Rows at the
    bottom and columns at the right that fill no patch are not seen. At another size than the configuration's, position
    embedding and filters are interpolated as the authors do when they fine-tune at another resolution.

    Raises:
        ValueError: the image is too small.
    """

    def __init__(self, config: GFNetHConfig) -> None:
        super().__init__()
        self.config = config
        sources = (config.in_channels, *config.widths[:-1])
        patches = (config.patch_size, *(2 for _ in config.widths[1:]))
        self.embeds = nn.ModuleList(
            nn.Conv2d(source, width, patch, stride=patch)
            for source, width, patch in zip(sources, config.widths, patches, strict=True)
        )
        self.position = LearnedPosition(config.widths[0], config.grids[0], config.grids[0])
        self.stages = nn.ModuleList(
            nn.Sequential(*(GFBlock(width, hidden, grid, grid, config.layer_scale) for _ in range(depth)))
            for width, hidden, grid, depth in zip(
                config.widths, config.hidden, config.grids, config.depths, strict=True
            )
        )
        self.norm = ChannelLayerNorm(config.widths[-1], epsilon=1e-6)
        self.head = nn.Linear(config.widths[-1], config.classes) if config.classes else nn.Identity()
        if isinstance(self.head, nn.Linear):
            nn.init.trunc_normal_(self.head.weight, std=0.02)
            nn.init.zeros_(self.head.bias)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.features(image).mean((2, 3)))

    def features(self, image: Tensor) -> Tensor:
        """Return the last stage's output, normalised: (B, C, H', W') with the grid of the last stage."""
        return self.norm(self.pyramid(image)[-1])

    def pyramid(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return each stage's output, not normalised: (B, C, H', W') with the width and grid of the stage."""
        least = self.config.patch_size * 2 ** (len(self.stages) - 1)
        if min(image.shape[-2:]) < least:
            raise ValueError(f"an image of {' × '.join(map(str, image.shape[-2:]))} is smaller than {least} × {least}")
        x = image.contiguous(memory_format=torch.channels_last)
        maps: list[Tensor] = []
        for stage, (embed, blocks) in enumerate(zip(self.embeds, self.stages, strict=True)):
            x = embed(x)
            x = blocks(x if stage else self.position(x))
            maps.append(x)
        return tuple(maps)
