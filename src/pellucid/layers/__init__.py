"""Drop-in layers: each takes and returns (B, C, H, W) of any height and width; channels-last is the fast format.

`X as X` makes a name public; a line for each file, so that a new paper adds one.
"""

from pellucid.layers.cmat import CMAT as CMAT
from pellucid.layers.cmat import CrossMaskedAttention as CrossMaskedAttention
from pellucid.layers.dilated_resnet import DilatedResNet as DilatedResNet
from pellucid.layers.gdfn import GDFN as GDFN
from pellucid.layers.mdta import MDTA as MDTA
from pellucid.layers.mife import MIFE as MIFE
from pellucid.layers.norm import BiasFreeLayerNorm as BiasFreeLayerNorm
from pellucid.layers.norm import ChannelLayerNorm as ChannelLayerNorm
from pellucid.layers.patches import OverlapPatchEmbed as OverlapPatchEmbed
from pellucid.layers.prototype_head import PrototypeHead as PrototypeHead
from pellucid.layers.resample import PixelShuffleUpsample as PixelShuffleUpsample
from pellucid.layers.resample import PixelUnshuffleDownsample as PixelUnshuffleDownsample
