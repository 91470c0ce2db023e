"""TBSN's released weights: recognise, infer the configuration from names and shapes, check the masks, rename.

The authors' names appear here and nowhere else.
"""

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from pellucid.checkpoints.inference import count_blocks, shared_expansion
from pellucid.checkpoints.system import Restoration, System, UnstatedError, round_up
from pellucid.models.tbsn import TBSN, TBSN_PRESETS, TBSNConfig

# Memory of a tile, held against benchmarks/cost.py: maps of the first level's width, or of the widest heads of windows,
# held at a time, and stripes.
_LIVE_MAPS, _LIVE_WINDOWS, _STRIPES = 33, 24, 56 * 2**20
# With random weights the small network looks 7 pixels around; a joint of 64 pixels differs from the whole picture by as
# much as any other place, which is due to the channel attention (benchmarks/tiles.py).
_OVERLAP = 64
_STAGES = {
    "encoders.0": "encoder_level1",
    "encoders.1": "encoder_level2",
    "latent": "latent",
    "decoders.0": "decoder_level2",
    "decoders.1": "decoder_level1",
    "refinement": "refinement",
}
_IN_BLOCK = {
    "norm1": "norm1.body",
    "norm2": "norm2.body",
    "norm3": "norm3.body",
    "norm4": "norm4.body",
    "channel_attention": "channel_attn",  # for channel_attention.temperature
    "channel_attention.qkv": "channel_attn.qkv",
    "channel_attention.depthwise": "channel_attn.qkv_dwconv",
    "channel_attention.project": "channel_attn.project_out",
    "channel_feedforward.expand": "channel_ffn.project_in",
    "channel_feedforward.project": "channel_ffn.project_out",
    "window_attention.qkv": "spatial_attn.qkv",
    "window_attention.project": "spatial_attn.project_out",
    "window_feedforward.expand": "spatial_ffn.project_in",
    "window_feedforward.project": "spatial_ffn.project_out",
}
_POSITIONS = {
    "window_attention.height": "spatial_attn.rel_pos_emb.rel_height",
    "window_attention.width": "spatial_attn.rel_pos_emb.rel_width",
}
_OUTSIDE = {
    "embed.convolution": "patch_embed.proj",
    "downs.0.convolution": "down1_2.body.0",
    "downs.1.convolution": "down2_3.body.0",
    "ups.0.convolution": "up3_2.body.0",
    "ups.1.convolution": "up2_1.body.0",
    "reductions.0": "reduce_chan_level2",
    "output": "output",
}
_LEVELS = ("encoder_level1", "encoder_level2", "latent")
_EMBED_MASK = "patch_embed.proj.mask"
_WINDOW_MASK = re.compile(rf"({'|'.join(_STAGES.values())})\.\d+\.spatial_attn\.fixed_pos_emb\.attention_mask")


def recognise(tensors: Mapping[str, Tensor]) -> bool:
    """Whether the names are those of a TBSN checkpoint."""
    block = "encoder_level1.0"
    return {"patch_embed.proj.weight", f"{block}.channel_attn.temperature", f"{block}.spatial_attn.qkv.weight"} <= set(
        tensors
    )


def dismiss(name: str) -> str | None:
    """Say why a mask is left out: `infer_config` checks that it is the formula by which the layers work."""
    if name == _EMBED_MASK:
        return "the mask of the centre tap, which the embedding leaves out by itself"
    if _WINDOW_MASK.fullmatch(name):
        return "the mask of odd displacements, which attention on parity lattices never meets"
    return None


def infer_config(tensors: Mapping[str, Tensor], *, window_size: int | None = None) -> TBSNConfig:
    """Read every hyper-parameter off the names and shapes, and check the masks.

    Args:
        tensors: under the authors' names.
        window_size: side of the windows, for a file whose masks were taken out.

    Raises:
        KeyError, ValueError: the tensors do not form a TBSN.
        UnstatedError: the file has no mask, and no window size is given.
    """
    width, in_channels = tensors["patch_embed.proj.weight"].shape[:2]
    first = [f"{stage}.0" for stage in _LEVELS]
    positions = [tensors[f"{block}.spatial_attn.rel_pos_emb.rel_height"].shape for block in first]
    head_channels = positions[0][1]
    inner = [tensors[f"{block}.spatial_attn.project_out.weight"].shape[1] for block in first]
    expansions = [tensors[f"{block}.channel_ffn.project_in.weight"].shape[:2] for block in first]
    config = TBSNConfig(
        in_channels=in_channels,
        out_channels=tensors["output.weight"].shape[0],
        width=width,
        blocks=tuple(count_blocks(tensors, stage) for stage in _LEVELS),
        refinement=count_blocks(tensors, "refinement"),
        channel_heads=tuple(tensors[f"{block}.channel_attn.temperature"].shape[0] for block in first),
        window_heads=tuple(channels // head_channels for channels in inner),
        head_channels=head_channels,
        window=_window_size(tensors, window_size),
        overlaps=tuple((rows + 1) // 2 for rows, _ in positions),
        expansion=shared_expansion([(hidden, channels) for hidden, channels in expansions]),
        norm_bias="encoder_level1.0.norm1.body.bias" in tensors,
        bias="encoder_level1.0.channel_attn.qkv.bias" in tensors,
        embed_bias="patch_embed.proj.bias" in tensors,
    )
    _check_masks(tensors, config)
    return config


def official_name(name: str) -> str:
    """Translate the name of one of our parameters into the authors'."""
    module, parameter = name.rsplit(".", 1)
    if module in _OUTSIDE:
        return f"{_OUTSIDE[module]}.{parameter}"
    for ours, theirs in _STAGES.items():
        if module.startswith(f"{ours}."):
            block, part = module.removeprefix(f"{ours}.").split(".", 1)
            named = _POSITIONS.get(f"{part}.{parameter}") or f"{_IN_BLOCK[part]}.{parameter}"
            return f"{theirs}.{block}.{named}"
    raise KeyError(name)


def adapt(name: str, tensor: Tensor) -> Tensor:
    """Empty the centre tap of the embedding, whose value in a file is whatever the last training step left there."""
    if name != "embed.convolution.weight" or tensor.shape[2:] != (3, 3):
        return tensor
    tensor = tensor.clone()
    tensor[:, :, 1, 1] = 0
    return tensor


def _window_masks(tensors: Mapping[str, Tensor]) -> Iterable[str]:
    return (name for name in tensors if _WINDOW_MASK.fullmatch(name))


def _window_size(tensors: Mapping[str, Tensor], given: int | None) -> int:
    """Read the side w of the windows off the masks, (1, w², o²)."""
    mask = next(iter(_window_masks(tensors)), None)
    if mask is None:
        if given is None:
            raise UnstatedError("it has no attention masks, so give window_size=…, which is 8 in the paper's networks")
        return given
    queries = tensors[mask].shape[1]
    window = round(queries**0.5)
    if window**2 != queries:
        raise ValueError(f"{mask} is for {queries} queries, which make no square window")
    if given not in (None, window):
        raise ValueError(f"window_size={given} was given, and its masks are for windows of {window}")
    return window


def _check_masks(tensors: Mapping[str, Tensor], config: TBSNConfig) -> None:
    """Check that every mask is the formula."""
    if _EMBED_MASK in tensors:
        expected = torch.ones(tensors["patch_embed.proj.weight"].shape)
        expected[:, :, 1, 1] = 0
        if not torch.equal(tensors[_EMBED_MASK].to(expected.dtype), expected):
            raise ValueError(f"{_EMBED_MASK} masks something other than the centre tap")
    formulas = [_window_mask(config.window, overlap) for overlap in config.overlaps]
    levels = {"encoder_level1": 0, "encoder_level2": 1, "latent": 2, "decoder_level2": 1}
    for name in _window_masks(tensors):
        expected = formulas[levels.get(name.split(".", 1)[0], 0)]
        if not torch.equal(tensors[name].to(expected.dtype), expected):
            raise ValueError(f"{name} masks something other than the odd displacements")


def _window_mask(window: int, overlap: int) -> Tensor:
    """Return 0 where key and query differ by even numbers in both directions and −∞ elsewhere: (1, w², o²)."""
    even = (torch.arange(overlap) - torch.arange(window)[:, None]) % 2 == 0
    visible = even[:, None, :, None] & even[:, None, :]
    return torch.where(visible, 0.0, -torch.inf).reshape(1, window**2, overlap**2)


def _restoration(config: TBSNConfig) -> Restoration | None:
    if config.in_channels != config.out_channels:
        return None
    inner = max(heads * config.head_channels / 4**level for level, heads in enumerate(config.window_heads))
    maps = max(_LIVE_MAPS * config.width, round(_LIVE_WINDOWS * inner))
    overlap = round_up(_OVERLAP, config.multiple)
    held, white = 4 * (maps + 4 * config.in_channels), config.value_range
    return Restoration(config.in_channels, config.multiple, overlap, held, _STRIPES, white=white)


def _input_rule(config: TBSNConfig) -> str:
    return f"any size, padded inside to a multiple of {config.multiple}; values 0..{config.value_range:g}"


SYSTEM = System(
    title="TBSN",
    network=TBSN,
    config=TBSNConfig,
    presets=TBSN_PRESETS,
    recognise=recognise,
    infer_config=infer_config,
    official_name=official_name,
    restoration=_restoration,
    dismiss=dismiss,
    adapt=adapt,
    settings=("window_size",),
    input_rule=_input_rule,
    licence="The authors' code is under GPL-3.0, and their weights come without other terms.",
)
