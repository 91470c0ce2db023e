"""The released weights of TBSN's student: recognise, infer the configuration from names and shapes, rename.

The authors' names appear here and nowhere else.
"""

from collections.abc import Mapping

from torch import Tensor

from pellucid.checkpoints.system import Restoration, System
from pellucid.models.tbsn_unet import TBSN_UNET_PRESETS, TBSNUNet, TBSNUNetConfig

# Memory of a tile, held against benchmarks/cost.py: maps of the encoder's width held at a time, and scratch.
_LIVE_MAPS, _SCRATCH = 12, 48 * 2**20
# Six levels look about 100 pixels around. No layer sums over the picture, so that the joint vanishes as the overlap
# grows; 128 pixels leave 2 % of the change that the network makes with random weights (benchmarks/tiles.py).
_OVERLAP = 128


def recognise(tensors: Mapping[str, Tensor]) -> bool:
    """Whether the names are those of a checkpoint of the student."""
    return {"encode_block_1.0.weight", "decode_block_5.0.weight", "output_conv.weight"} <= set(tensors)


def infer_config(tensors: Mapping[str, Tensor]) -> TBSNUNetConfig:
    """Read every hyper-parameter off the names and shapes.

    Raises:
        KeyError, ValueError: the tensors do not form the student.
    """
    width, in_channels = tensors["encode_block_1.0.weight"].shape[:2]
    return TBSNUNetConfig(in_channels=in_channels, out_channels=tensors["output_conv.weight"].shape[0], width=width)


def official_name(name: str) -> str:
    """Translate the name of one of our parameters into the authors'."""
    kind, *place, parameter = name.split(".")
    if kind == "output" and not place:
        return f"output_conv.{parameter}"
    if kind == "latent" and len(place) == 1:
        return f"encode_block_6.{place[0]}.{parameter}"
    if kind == "encoders" and len(place) == 2:
        return f"encode_block_{int(place[0]) + 1}.{place[1]}.{parameter}"
    if kind == "decoders" and len(place) == 2:  # the authors count them towards the output
        return f"decode_block_{5 - int(place[0])}.{place[1]}.{parameter}"
    raise KeyError(name)


def _restoration(config: TBSNUNetConfig) -> Restoration | None:
    if config.in_channels != config.out_channels:
        return None
    held, white = 4 * (_LIVE_MAPS * config.width + 8 * config.in_channels), config.value_range
    return Restoration(config.in_channels, config.multiple, _OVERLAP, held, _SCRATCH, white=white)


def _input_rule(config: TBSNUNetConfig) -> str:
    return f"any size, padded inside to a multiple of {config.multiple}; values 0..{config.value_range:g}"


SYSTEM = System(
    title="TBSN's student U-Net",
    network=TBSNUNet,
    config=TBSNUNetConfig,
    presets=TBSN_UNET_PRESETS,
    recognise=recognise,
    infer_config=infer_config,
    official_name=official_name,
    restoration=_restoration,
    input_rule=_input_rule,
    licence="The authors' code is under GPL-3.0, and their weights come without other terms.",
)
