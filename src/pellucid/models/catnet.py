"""CAT-Net: segment in a query picture what one labelled support picture shows.

Y. Lin, Y. Chen, K.-T. Cheng, H. Chen, "Few Shot Medical Image Segmentation with Cross Attention Transformer",
MICCAI 2023, arXiv 2303.13867. Built from the paper's design, which the published code does not implement; see docs.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.layers import CMAT, MIFE, DilatedResNet, PrototypeHead

# Bounds that no sensible network reaches, so that a file that lies about its size is refused before it is built.
_LARGEST_SIZE, _MOST_BLOCKS = 2**14, 512
_CHANNELS_PER_WIDTH = 32  # of DilatedResNet: 8 times the width in the last stage, 4 times that at its output


@dataclass(frozen=True, kw_only=True)
class CATNetConfig:
    """Everything that determines the network.

    Attributes:
        blocks: residual blocks of each stage of the encoder; () where you give an encoder of your own.
        features: F, channels of the encoder's output; a multiple of 32 where the encoder is ours.
        channels: C, to which they are reduced.
        iterations: N, blocks of cross masked attention, each followed by a segmentation.
        key_channels: of queries and keys, all heads together.
        heads: heads of all attention; must divide both.
        shared_streams: whether support and query have the same weights in a block.
        mask_mode: "rows", the paper's, or "keys", for study; see `CrossMaskedAttention`.
        head: "threshold" or "softmax"; see `PrototypeHead`.
        alpha: α, by which the cosine is multiplied.
        threshold: τ, above which the probability is foreground.
        dilated_threshold: τ̂ < τ, the same for the mask that a block hands to the next, not to lose the border.
    """

    blocks: tuple[int, ...] = (3, 4, 23, 3)
    features: int = 2048
    channels: int = 256
    iterations: int = 4
    key_channels: int = 32
    heads: int = 1
    shared_streams: bool = False
    mask_mode: str = "rows"
    head: str = "threshold"
    alpha: float = 20.0
    threshold: float = 0.5
    dilated_threshold: float = 0.4

    def __post_init__(self) -> None:
        sizes = (self.features, self.channels, self.iterations, self.key_channels, self.heads, *self.blocks)
        if not all(type(size) is int and 1 <= size <= _LARGEST_SIZE for size in sizes):
            raise ValueError(f"sizes, blocks, iterations and heads must be whole numbers from 1 to {_LARGEST_SIZE}")
        if len(self.blocks) not in (0, 4) or sum(self.blocks) + self.iterations > _MOST_BLOCKS:
            raise ValueError(f"an encoder has four stages, and there are {_MOST_BLOCKS} blocks at most")
        if self.blocks and self.features % _CHANNELS_PER_WIDTH:
            raise ValueError(f"our encoder has {_CHANNELS_PER_WIDTH} features for each channel of width")
        if self.channels % self.heads or self.key_channels % self.heads:
            raise ValueError(f"{self.heads} heads must divide {self.channels} channels and {self.key_channels} of keys")
        if type(self.shared_streams) is not bool:
            raise ValueError("shared_streams must be true or false")
        if self.mask_mode not in ("rows", "keys") or self.head not in ("threshold", "softmax"):
            raise ValueError("mask_mode must be 'rows' or 'keys', and head 'threshold' or 'softmax'")
        if not (0 < self.alpha < math.inf and 0 < self.dilated_threshold <= self.threshold < 1):
            raise ValueError("alpha must be positive, and 0 < dilated_threshold ≤ threshold < 1")


CATNET_PRESETS: Mapping[str, CATNetConfig] = MappingProxyType(
    {
        "base": CATNetConfig(),
        "resnet50": CATNetConfig(blocks=(3, 4, 6, 3)),
        "small": CATNetConfig(blocks=(2, 2, 2, 2), features=512, channels=64, iterations=2, key_channels=8),
    }
)


class Refinement(NamedTuple):
    """What an iteration leaves, on the grid of the features.

    Attributes:
        support: F^s_i, (B·K, C, h, w).
        query: F^q_i, (B, C, h', w').
        foreground: ρ_i, (B, 1, h', w').
    """

    support: Tensor
    query: Tensor
    foreground: Tensor


class CATNet(nn.Module):
    """Segment a query picture by K labelled support pictures (shots) of another patient.

        F^s, F^q = 1×1(φ(support)), 1×1(φ(query));   F^s₀, F^q₀, ρ₀ = MIFE(F^s, F^q, M^s)
        F^s_i, F^q_i = CMAT_i(F^s_{i−1}, F^q_{i−1}, M^s, [ρ_{i−1} > τ̂]);   ρ_i = head(F^s_i, F^q_i, M^s)

    Takes support pictures (B, K, 3, H, W), their masks (B, K, H, W) of zeros and ones, and queries (B, 3, H', W'), any
    sizes ≥ 1, and returns the probabilities of background and foreground, (B, 2, H', W'): [1 − ρ_N, ρ_N] enlarged
    bilinearly, corners aligned. A slice of a scan is repeated three times and normalised over its volume. Masks are
    constant for the gradient; the ρ_i carry it.

    Args:
        config: the sizes.
        encoder: φ, any module (B, 3, H, W) → (B, features, h, w); by default a `DilatedResNet`, which gives an eighth
            of the size.

    Raises:
        ValueError: the configuration has no blocks for our encoder and none was given; in `forward`, shapes disagree,
            or there are not so many iterations.
    """

    def __init__(self, config: CATNetConfig, encoder: nn.Module | None = None) -> None:
        super().__init__()
        if encoder is None and not config.blocks:
            raise ValueError("a configuration without blocks needs an encoder: CATNet(config, encoder)")
        self.config = config
        if encoder is None:
            encoder = DilatedResNet(config.blocks, config.features // _CHANNELS_PER_WIDTH)
        self.encoder = encoder
        self.reduce = nn.Conv2d(config.features, config.channels, 1, bias=False)
        self.mife = MIFE(config.channels)
        self.cmats = nn.ModuleList(
            CMAT(config.channels, config.key_channels, config.heads, config.mask_mode, shared=config.shared_streams)
            for _ in range(config.iterations)
        )
        self.head = PrototypeHead(config.head, config.alpha)

    def forward(self, support: Tensor, support_masks: Tensor, query: Tensor, iterations: int | None = None) -> Tensor:
        last = self.refine(support, support_masks, query, iterations)[-1]
        return self.probabilities(last.foreground, (query.shape[-2], query.shape[-1]))

    def segment(self, support: Tensor, support_masks: Tensor, query: Tensor, iterations: int | None = None) -> Tensor:
        """Return M^q_N = [ρ_N > τ] at the query's size, (B, H', W') of booleans; takes what `forward` does."""
        return self(support, support_masks, query, iterations)[:, 1] > self.config.threshold

    def refine(
        self, support: Tensor, support_masks: Tensor, query: Tensor, iterations: int | None = None
    ) -> list[Refinement]:
        """Return what MIFE (i = 0) and each of the iterations leave, for a loss on each.

        Args:
            support, support_masks, query: as for `forward`.
            iterations: how many of the N to run; all by default.
        """
        _check(support, support_masks, query)
        M_s = support_masks.flatten(0, 1).unsqueeze(1)  # B·K 1 H W
        return self.refine_features(self.encode(support.flatten(0, 1)), M_s, self.encode(query), iterations)

    def encode(self, images: Tensor) -> Tensor:
        """Return 1×1(φ(images)): (B, 3, H, W) → (B, C, h, w)."""
        return self.reduce(self.encoder(images.contiguous(memory_format=torch.channels_last)))

    def refine_features(self, F_s: Tensor, M_s: Tensor, F_q: Tensor, iterations: int | None = None) -> list[Refinement]:
        """Do what `refine` does with pictures encoded before, as one support picture serves many queries.

        Args:
            F_s: features of the shots, (B·K, C, h, w), those of an episode next to each other.
            M_s: their masks, (B·K, 1, H, W).
            F_q: features of the queries, (B, C, h', w').
            iterations: how many of the N to run; all by default.
        """
        N = self.config.iterations if iterations is None else iterations
        if not 1 <= N <= self.config.iterations:
            raise ValueError(f"there are 1 to {self.config.iterations} iterations, not {N}")
        states = [Refinement(*self.mife(F_s, F_q, M_s))]
        for cmat in self.cmats[:N]:
            F_s, F_q, rho = states[-1]
            F_s, F_q = cmat(F_s, F_q, M_s, rho > self.config.dilated_threshold)
            states.append(Refinement(F_s, F_q, self.head(F_s, F_q, M_s)))
        return states

    def probabilities(self, foreground: Tensor, size: tuple[int, int]) -> Tensor:
        """Enlarge [1 − ρ, ρ] bilinearly, corners aligned: (B, 1, h, w) → (B, 2, H, W)."""
        enlarged = F.interpolate(foreground, size, mode="bilinear", align_corners=True)
        return torch.cat([1 - enlarged, enlarged], dim=1)


def _check(support: Tensor, support_masks: Tensor, query: Tensor) -> None:
    fits = support.ndim == 5 and query.ndim == 4 and support.shape[0] == query.shape[0]
    if not fits or support_masks.shape != (*support.shape[:2], *support.shape[3:]):
        raise ValueError(
            "support, masks and query must be (B, K, 3, H, W), (B, K, H, W) and (B, 3, H', W'), "
            f"not {tuple(support.shape)}, {tuple(support_masks.shape)}, {tuple(query.shape)}"
        )
