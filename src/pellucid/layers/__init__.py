"""Drop-in layers: each takes and returns (B, C, H, W) of any height and width; channels-last is the fast format.

`X as X` makes a name public; a line for each file, so that a new paper adds one.
"""

from pellucid.layers.anchored_stripe_attention import AnchoredStripeAttention as AnchoredStripeAttention
from pellucid.layers.attn_conv import AttnConv as AttnConv
from pellucid.layers.blind_spot import CentreMaskedConv2d as CentreMaskedConv2d
from pellucid.layers.blind_spot import PatchShuffleUpsample as PatchShuffleUpsample
from pellucid.layers.blind_spot import PatchUnshuffleDownsample as PatchUnshuffleDownsample
from pellucid.layers.channel_attention_block import ChannelAttentionBlock as ChannelAttentionBlock
from pellucid.layers.clo_attention import CloAttention as CloAttention
from pellucid.layers.clo_block import CloBlock as CloBlock
from pellucid.layers.cmat import CMAT as CMAT
from pellucid.layers.cmat import CrossMaskedAttention as CrossMaskedAttention
from pellucid.layers.conv_ffn import ConvFFN as ConvFFN
from pellucid.layers.dffn import DFFN as DFFN
from pellucid.layers.dilated_resnet import DilatedResNet as DilatedResNet
from pellucid.layers.fsas import FSAS as FSAS
from pellucid.layers.gdfn import GDFN as GDFN
from pellucid.layers.gf_block import GFBlock as GFBlock
from pellucid.layers.global_filter import GlobalFilter as GlobalFilter
from pellucid.layers.grouped_channel_attention import GroupedChannelAttention as GroupedChannelAttention
from pellucid.layers.masked_window_attention import MaskedWindowAttention as MaskedWindowAttention
from pellucid.layers.mdta import MDTA as MDTA
from pellucid.layers.mife import MIFE as MIFE
from pellucid.layers.mixed_attention import MixedAttention as MixedAttention
from pellucid.layers.norm import BiasFreeLayerNorm as BiasFreeLayerNorm
from pellucid.layers.norm import ChannelLayerNorm as ChannelLayerNorm
from pellucid.layers.patches import OverlapPatchEmbed as OverlapPatchEmbed
from pellucid.layers.position import LearnedPosition as LearnedPosition
from pellucid.layers.prototype_head import PrototypeHead as PrototypeHead
from pellucid.layers.resample import PixelShuffleUpsample as PixelShuffleUpsample
from pellucid.layers.resample import PixelUnshuffleDownsample as PixelUnshuffleDownsample
from pellucid.layers.window_attention import WindowAttention as WindowAttention
