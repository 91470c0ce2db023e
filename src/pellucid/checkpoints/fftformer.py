"""FFTformer's released weights: recognise, infer the configuration from names and shapes, rename.

The authors' names appear here and nowhere else.
"""

from collections.abc import Mapping

from torch import Tensor

from pellucid.checkpoints.inference import count_blocks, shared_expansion
from pellucid.checkpoints.system import Restoration, System
from pellucid.models.fftformer import FFTFORMER_PRESETS, FFTformer, FFTformerConfig

# Memory of a tile, held against benchmarks/cost.py: maps of the first level's width D held at a time, and stripes.
_LIVE_MAPS, _STRIPES = 15, 136 * 2**20
# The deepest level works in patches as large as the network's multiple, and its blocks hand on what they see from patch
# to patch: one at either end and two to fade over. No layer sums over the whole picture (benchmarks/tiles.py).
_OVERLAP_PATCHES = 4
_STAGES = {
    "encoders.0": "encoder_level1",
    "encoders.1": "encoder_level2",
    "encoders.2": "encoder_level3",
    "decoders.0": "decoder_level3",
    "decoders.1": "decoder_level2",
    "decoders.2": "decoder_level1",
    "refinement": "refinement",
    "fuses.0": "fuse2",
    "fuses.1": "fuse1",
}
_IN_BLOCK = {
    "norm1": "norm1.body",
    "norm2": "norm2.body",
    "attention.qkv": "attn.to_hidden",
    "attention.depthwise": "attn.to_hidden_dw",
    "attention.norm": "attn.norm.body",
    "attention.project": "attn.project_out",
    "feedforward": "ffn",  # for feedforward.spectral_weight
    "feedforward.expand": "ffn.project_in",
    "feedforward.depthwise": "ffn.dwconv",
    "feedforward.project": "ffn.project_out",
}
_PARAMETERS = {"spectral_weight": "fft"}
_OUTSIDE = {
    "embed.convolution": "patch_embed.proj",
    "downs.0.convolution": "down1_2.body.1",
    "downs.1.convolution": "down2_3.body.1",
    "ups.0.convolution": "up3_2.body.1",
    "ups.1.convolution": "up2_1.body.1",
    "unused": "reduce_chan_level2",
    "fuses.0.join": "fuse2.conv",
    "fuses.1.join": "fuse1.conv",
    "fuses.0.split": "fuse2.conv2",
    "fuses.1.split": "fuse1.conv2",
    "output": "output",
}
_LEVELS = ("encoder_level1", "encoder_level2", "encoder_level3")
_PAPER_EXPANSION = 3.0


def recognise(tensors: Mapping[str, Tensor]) -> bool:
    """Whether the names are those of an FFTformer checkpoint."""
    return {"patch_embed.proj.weight", "encoder_level1.0.ffn.fft", "fuse1.conv.weight"} <= set(tensors)


def infer_config(tensors: Mapping[str, Tensor]) -> FFTformerConfig:
    """Read every hyper-parameter off the names and shapes.

    Raises:
        KeyError, ValueError: the tensors do not form an FFTformer.
    """
    width, in_channels = tensors["patch_embed.proj.weight"].shape[:2]
    first = [f"{stage}.0.ffn" for stage in _LEVELS]
    if not all(tensors[f"{layer}.fft"].shape[-2:] == (8, 5) for layer in first):
        raise ValueError("its patches are not 8 × 8")
    projections = [tensors[f"{layer}.project_out.weight"] for layer in first]
    return FFTformerConfig(
        in_channels=in_channels,
        out_channels=tensors["output.weight"].shape[0],
        width=width,
        blocks=tuple(count_blocks(tensors, stage) for stage in _LEVELS),
        refinement=count_blocks(tensors, "refinement"),
        expansion=shared_expansion([(p.shape[1], p.shape[0]) for p in projections], preferred=[_PAPER_EXPANSION]),
        bias="encoder_level1.0.ffn.project_in.bias" in tensors,
    )


def official_name(name: str) -> str:
    """Translate the name of one of our parameters into the authors'."""
    module, parameter = name.rsplit(".", 1)
    if module in _OUTSIDE:
        return f"{_OUTSIDE[module]}.{parameter}"
    for ours, theirs in _STAGES.items():
        if module.startswith(f"{ours}."):
            block, part = module.removeprefix(f"{ours}.").split(".", 1)
            block = {"block": "att_channel"}.get(block, block)
            return f"{theirs}.{block}.{_IN_BLOCK[part]}.{_PARAMETERS.get(parameter, parameter)}"
    raise KeyError(name)


def adapt(name: str, tensor: Tensor) -> Tensor:
    """Take the spectral weights as (channels, 8, 5); the authors keep two axes of length 1 before the bins."""
    stored = name.endswith(".spectral_weight") and tensor.ndim == 5 and tensor.shape[1:3] == (1, 1)
    return tensor[:, 0, 0] if stored else tensor


def _restoration(config: FFTformerConfig) -> Restoration | None:
    maps = _LIVE_MAPS * config.width // config.unshuffle**2
    pictures = 2 * (config.in_channels + config.out_channels)
    overlap = _OVERLAP_PATCHES * config.multiple
    return Restoration(config.in_channels, config.multiple, overlap, 4 * (maps + pictures), _STRIPES)


def _input_rule(config: FFTformerConfig) -> str:
    return f"any size, padded inside to a multiple of {config.multiple}; values 0..1"


SYSTEM = System(
    title="FFTformer",
    network=FFTformer,
    config=FFTformerConfig,
    presets=FFTFORMER_PRESETS,
    recognise=recognise,
    infer_config=infer_config,
    official_name=official_name,
    restoration=_restoration,
    adapt=adapt,
    input_rule=_input_rule,
    licence="The authors' weights come with a repository under the MIT licence.",
)
