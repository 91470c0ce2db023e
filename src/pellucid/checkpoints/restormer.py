"""Restormer's released weights: recognise, infer the configuration from names and shapes, rename.

The authors' names appear here and nowhere else.
"""

from collections.abc import Mapping

from torch import Tensor

from pellucid.checkpoints.inference import count_blocks, shared_expansion
from pellucid.checkpoints.system import Restoration, System, round_up
from pellucid.models.restormer import RESTORMER_PRESETS, Restormer, RestormerConfig

_STAGES = {
    "encoders.0": "encoder_level1",
    "encoders.1": "encoder_level2",
    "encoders.2": "encoder_level3",
    "latent": "latent",
    "decoders.0": "decoder_level3",
    "decoders.1": "decoder_level2",
    "decoders.2": "decoder_level1",
    "refinement": "refinement",
}
_IN_BLOCK = {
    "norm1": "norm1.body",
    "norm2": "norm2.body",
    "attention": "attn",  # for attention.temperature
    "attention.qkv": "attn.qkv",
    "attention.depthwise": "attn.qkv_dwconv",
    "attention.project": "attn.project_out",
    "feedforward.expand": "ffn.project_in",
    "feedforward.depthwise": "ffn.dwconv",
    "feedforward.project": "ffn.project_out",
}
_OUTSIDE = {
    "embed.convolution": "patch_embed.proj",
    "downs.0.convolution": "down1_2.body.0",
    "downs.1.convolution": "down2_3.body.0",
    "downs.2.convolution": "down3_4.body.0",
    "ups.0.convolution": "up4_3.body.0",
    "ups.1.convolution": "up3_2.body.0",
    "ups.2.convolution": "up2_1.body.0",
    "reductions.0": "reduce_chan_level3",
    "reductions.1": "reduce_chan_level2",
    "skip": "skip_conv",
    "output": "output",
}
_LEVELS = ("encoder_level1", "encoder_level2", "encoder_level3", "latent")
_PAPER_EXPANSION = 2.66
# Memory of a tile, held against benchmarks/cost.py: maps of the first level's width D held at a time, and stripes.
_LIVE_MAPS, _STRIPES = 15, 128 * 2**20
# With the bundled weights a joint of 64 pixels differs from the whole picture by as much as any place of a tile does,
# which is due to the attention matrices, sums over all that is seen (benchmarks/tiles.py).
_OVERLAP = 64


def recognise(tensors: Mapping[str, Tensor]) -> bool:
    """Whether the names are those of a Restormer checkpoint."""
    return {"patch_embed.proj.weight", "encoder_level1.0.attn.temperature", "refinement.0.attn.temperature"} <= set(
        tensors
    )


def infer_config(tensors: Mapping[str, Tensor]) -> RestormerConfig:
    """Read every hyper-parameter off the names and shapes.

    Raises:
        KeyError, ValueError: the tensors do not form a Restormer.
    """
    width, in_channels = tensors["patch_embed.proj.weight"].shape[:2]
    first = [f"{stage}.0" for stage in _LEVELS]
    projections = [tensors[f"{block}.ffn.project_out.weight"] for block in first]
    return RestormerConfig(
        in_channels=in_channels,
        out_channels=tensors["output.weight"].shape[0],
        width=width,
        blocks=tuple(count_blocks(tensors, stage) for stage in _LEVELS),
        refinement=count_blocks(tensors, "refinement"),
        heads=tuple(tensors[f"{block}.attn.temperature"].shape[0] for block in first),
        expansion=shared_expansion([(p.shape[1], p.shape[0]) for p in projections], preferred=[_PAPER_EXPANSION]),
        norm_bias="encoder_level1.0.norm1.body.bias" in tensors,
        bias="encoder_level1.0.attn.qkv.bias" in tensors,
        dual_pixel="skip_conv.weight" in tensors,
    )


def official_name(name: str) -> str:
    """Translate the name of one of our parameters into the authors'."""
    module, parameter = name.rsplit(".", 1)
    if module in _OUTSIDE:
        return f"{_OUTSIDE[module]}.{parameter}"
    for ours, theirs in _STAGES.items():
        if module.startswith(f"{ours}."):
            block, part = module.removeprefix(f"{ours}.").split(".", 1)
            return f"{theirs}.{block}.{_IN_BLOCK[part]}.{parameter}"
    raise KeyError(name)


def _input_rule(config: RestormerConfig) -> str:
    return f"any size, padded inside to a multiple of {config.multiple}; values 0..1"


def _restoration(config: RestormerConfig) -> Restoration | None:
    if config.dual_pixel:
        return None
    maps = _LIVE_MAPS * config.width // config.unshuffle**2
    pictures = 2 * (config.in_channels + config.out_channels)
    overlap = round_up(_OVERLAP, config.multiple)
    return Restoration(config.in_channels, config.multiple, overlap, 4 * (maps + pictures), _STRIPES)


SYSTEM = System(
    title="Restormer",
    network=Restormer,
    config=RestormerConfig,
    presets=RESTORMER_PRESETS,
    recognise=recognise,
    infer_config=infer_config,
    official_name=official_name,
    restoration=_restoration,
    input_rule=_input_rule,
    licence="The authors' weights are for non-commercial use.",
)
