"""Drop-in layers: each takes and returns (B, C, H, W) of any height and width; channels-last is the fast format."""

from pellucid.layers.gdfn import GDFN
from pellucid.layers.mdta import MDTA
from pellucid.layers.norm import BiasFreeLayerNorm, ChannelLayerNorm
from pellucid.layers.patches import OverlapPatchEmbed
from pellucid.layers.resample import PixelShuffleUpsample, PixelUnshuffleDownsample

__all__ = [
    "GDFN",
    "MDTA",
    "BiasFreeLayerNorm",
    "ChannelLayerNorm",
    "OverlapPatchEmbed",
    "PixelShuffleUpsample",
    "PixelUnshuffleDownsample",
]
