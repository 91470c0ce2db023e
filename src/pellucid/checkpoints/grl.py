"""GRL's released weights: recognise, infer the configuration from names, shapes and buffers, rename.

The authors' names appear here and nowhere else.
"""

import math
import re
from collections.abc import Mapping
from typing import Any, cast

from torch import Tensor

from pellucid.checkpoints.system import Restoration, System, UnstatedError, round_up
from pellucid.models.grl import GRL, GRL_PRESETS, GRLConfig

# Memory of a tile, held against benchmarks/cost.py: maps of the width C held at a time in the body, one more
# beside a channel-attention block; stripes, and those of heads that work at the size of the result, times scale².
_LIVE_MAPS, _STRIPES, _HEAD_STRIPES = 12, 96 * 2**20, 10 * 2**20
# Windows and stripes must lie as in the whole picture, so tiles share whole cells of both grids: 64 pixels, rounded up.
# With random weights the tiny network looks 28 pixels around (benchmarks/tiles.py).
_OVERLAP = 64
_OUTSIDE = {
    "embed": "conv_first",
    "norm_start": "norm_start",
    "norm_end": "norm_end",
    "body": "conv_after_body",
    "head.reduce": "conv_before_upsample.0",
    "head.up1": "conv_up1",
    "head.up2": "conv_up2",
    "head.refine": "conv_hr",
    "head.output": "conv_last",
}
_IN_LAYER = {
    "attention.qkv": "attn.qkv.body",
    "attention.anchor": "attn.anchor.body.0.reduction",
    "attention.project": "attn.proj",
    "norm1": "norm1",
    "norm2": "norm2",
    "local.compress": "conv.cab.0",
    "local.expand": "conv.cab.2",
    "local.squeeze": "conv.cab.3.attention.1",
    "local.excite": "conv.cab.3.attention.3",
    "mlp.expand": "mlp.fc1",
    "mlp.contract": "mlp.fc2",
}
_POSITIONS = {
    "attention.windows.position": "attn.window_attn.attn_transform",
    "attention.stripes.gather": "attn.stripe_attn.attn_transform1",
    "attention.stripes.read": "attn.stripe_attn.attn_transform2",
}
_IN_POSITION = {
    "temperature": "logit_scale",
    "expand.weight": "cpb_mlp.0.weight",
    "expand.bias": "cpb_mlp.0.bias",
    "contract.weight": "cpb_mlp.2.weight",
}
_REBUILT = re.compile(
    r"(table_(w|sh|sv)|index_(w|s[hv]_(a2w|w2a))|mask_(w|s[hv]_(a2w|w2a)))"
    r"|(.*\.)?(relative_coords_table|relative_position_index|attn_mask)\w*"
)
_SETTINGS = ("window_size", "stripe_size", "stripe_groups", "stripe_shift", "anchor_window_down_factor")


def recognise(tensors: Mapping[str, Tensor]) -> bool:
    """Whether the names are those of a GRL checkpoint."""
    return {"conv_first.weight", "norm_start.weight", "layers.0.blocks.0.attn.qkv.body.weight"} <= set(tensors)


def infer_config(tensors: Mapping[str, Tensor], **settings: Any) -> GRLConfig:
    """Read every hyper-parameter off names and shapes; the geometry off the buffers, unless a setting states it.

    Raises:
        UnstatedError: neither buffers nor settings say how the picture is cut.
        KeyError, ValueError: the tensors do not form a GRL.
    """
    width, in_channels = tensors["conv_first.weight"].shape[:2]
    depths = tuple(_count(tensors, f"layers.{stage}.blocks.") for stage in range(_count(tensors, "layers.")))
    attentions = [f"layers.{stage}.blocks.0.attn" for stage in range(len(depths))]
    upsampler, scale, out_channels = _upsampler(tensors, in_channels)
    return GRLConfig(
        in_channels=in_channels,
        out_channels=out_channels,
        scale=scale,
        upsampler=upsampler,
        width=width,
        depths=depths,
        window_heads=tuple(len(tensors[f"{a}.window_attn.attn_transform.logit_scale"]) for a in attentions),
        stripe_heads=tuple(len(tensors[f"{a}.stripe_attn.attn_transform1.logit_scale"]) for a in attentions),
        mlp_width=len(tensors["layers.0.blocks.0.mlp.fc1.weight"]),
        local="layers.0.blocks.0.conv.cab.0.weight" in tensors,
        **_geometry(tensors, settings),
    )


def _count(tensors: Mapping[str, Tensor], prefix: str) -> int:
    return len({name.removeprefix(prefix).split(".", 1)[0] for name in tensors if name.startswith(prefix)})


def _upsampler(tensors: Mapping[str, Tensor], in_channels: int) -> tuple[str, int, int]:
    """Return the upsampler, the scale and the output's channels."""
    if "conv_before_upsample.0.weight" in tensors:
        out_channels = len(tensors["conv_last.weight"])
        if "conv_up1.weight" in tensors:
            return "nearest+conv", 4, out_channels
        steps = [len(t) for name, t in tensors.items() if re.fullmatch(r"upsample\.up\.\d+\.weight", name)]
        width = len(tensors["conv_before_upsample.0.weight"])
        return "pixelshuffle", 3 if steps == [9 * width] else 2 ** len(steps), out_channels
    if "upsample.up.0.weight" in tensors:
        rows = len(tensors["upsample.up.0.weight"])
        scale = math.isqrt(rows // in_channels)
        if rows != scale**2 * in_channels:
            raise ValueError(f"{rows} channels cannot be shuffled into pictures of {in_channels}")
        return "pixelshuffledirect", scale, in_channels
    return "none", 1, len(tensors["conv_last.weight"])


def _geometry(tensors: Mapping[str, Tensor], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return how the picture is cut: as a setting says; else as the buffers do, which seem to have no groups."""
    window, factor = settings.get("window_size"), settings.get("anchor_window_down_factor")
    groups, sizes = _pair(settings.get("stripe_groups", (None, None))), settings.get("stripe_size")
    if window is None and "table_w" in tensors:
        window = (tensors["table_w"].shape[1] + 1) // 2
    if factor is None and "index_sh_a2w" in tensors:
        anchors, tokens = sorted(tensors["index_sh_a2w"].shape)
        factor = math.isqrt(tokens // anchors)
        if factor**2 * anchors != tokens:
            raise ValueError(f"stripes of {tokens} pixels cannot have {anchors} square anchors")
    if sizes is None and factor is not None and "table_sh" in tensors:
        extents = [(length + 1) * factor // (factor + 1) for length in tensors["table_sh"].shape[1:3]]
        sizes = tuple(None if number is not None else n for n, number in zip(extents, groups, strict=True))
    stated = {"window_size": window, "stripe_size": sizes, "anchor_window_down_factor": factor}
    if missing := [name for name, value in stated.items() if value is None]:
        examples = {"window_size": "32", "stripe_size": "(64, 64)", "anchor_window_down_factor": "4"}
        raise UnstatedError(
            "it lacks the buffers that tell how the picture is cut; give "
            + ", ".join(f"{name}={examples[name]}" for name in missing)
            + " (and stripe_groups, stripe_shift where they differ from what is released) as it was trained"
        )
    return {
        "window_size": window,
        "stripe_size": _pair(sizes),
        "stripe_groups": groups,
        "stripe_shift": settings.get("stripe_shift", _shifted(tensors)),
        "anchor_factor": factor,
    }


def _pair(value: Any) -> Any:
    return tuple(cast(list[Any], value)) if isinstance(value, list) else value


def _shifted(tensors: Mapping[str, Tensor]) -> bool:
    """Whether stripes are shifted, as in all that is released, unless the masks say otherwise."""
    masks = [tensors[name] for name in ("mask_sh_a2w", "mask_sv_a2w") if name in tensors]
    return any(bool(mask.any()) for mask in masks) if masks else True


def official_name(name: str) -> str:
    """Translate the name of one of our parameters into the authors'."""
    module, parameter = name.rsplit(".", 1)
    if module in _OUTSIDE:
        return f"{_OUTSIDE[module]}.{parameter}"
    if found := re.fullmatch(r"head\.expand\.(\d+)", module):
        return f"upsample.up.{2 * int(found[1])}.{parameter}"  # pixel-shuffles have the odd numbers
    if found := re.fullmatch(r"stages\.(\d+)\.convolution", module):
        return f"layers.{found[1]}.conv.{parameter}"
    if found := re.fullmatch(r"stages\.(\d+)\.layers\.(\d+)\.(.*)", name):
        stage, layer, part = found.groups()
        return f"layers.{stage}.blocks.{layer}.{_in_layer(part)}"
    raise KeyError(name)


def _in_layer(name: str) -> str:
    for ours, theirs in _POSITIONS.items():
        if name.startswith(f"{ours}."):
            return f"{theirs}.{_IN_POSITION[name.removeprefix(f'{ours}.')]}"
    module, parameter = name.rsplit(".", 1)
    return f"{_IN_LAYER[module]}.{parameter}"


def dismiss(name: str) -> str | None:
    """Say why a buffer is left out."""
    return "rebuilt from the sizes" if _REBUILT.fullmatch(name) else None


def _restoration(config: GRLConfig) -> Restoration | None:
    if config.in_channels != config.out_channels:
        return None
    maps = (_LIVE_MAPS + config.local) * config.width
    pictures = 3 * config.in_channels + config.out_channels * config.scale**2
    wide = config.upsampler in ("pixelshuffle", "nearest+conv")
    stripes = _STRIPES + wide * _HEAD_STRIPES * config.scale**2
    overlap = round_up(_OVERLAP, config.multiple)
    channels, multiple = config.in_channels, config.multiple
    return Restoration(channels, multiple, overlap, 4 * (maps + pictures), stripes, scale=config.scale)


def _input_rule(config: GRLConfig) -> str:
    larger = f", enlarged {config.scale} times" if config.scale > 1 else ""
    return f"any size{larger}, padded inside to a multiple of {config.multiple}; values 0..1"


SYSTEM = System(
    title="GRL",
    network=GRL,
    config=GRLConfig,
    presets=GRL_PRESETS,
    recognise=recognise,
    infer_config=infer_config,
    official_name=official_name,
    restoration=_restoration,
    dismiss=dismiss,
    settings=_SETTINGS,
    input_rule=_input_rule,
    licence="The authors' code is under the MIT licence, which says nothing separate about the weights.",
)
