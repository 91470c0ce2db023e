"""GFNet-H's released weights: recognise, infer the configuration from names and shapes, rename.

A block and what is left out have the names that `gfnet` translates.
"""

from collections.abc import Mapping

from torch import Tensor

from pellucid.checkpoints.gfnet import IN_BLOCK, dismiss
from pellucid.checkpoints.system import System
from pellucid.models.gfnet_h import GFNETH_PRESETS, GFNetH, GFNetHConfig

_OUTSIDE = {
    "position.embedding": "pos_embed",
    "norm.weight": "norm.weight",
    "norm.bias": "norm.bias",
    "head.weight": "head.weight",
    "head.bias": "head.bias",
}


def recognise(tensors: Mapping[str, Tensor]) -> bool:
    """Whether the names are those of a GFNet-H checkpoint."""
    return {"pos_embed", "patch_embed.0.proj.weight", "blocks.0.0.filter.complex_weight"} <= set(tensors)


def infer_config(tensors: Mapping[str, Tensor]) -> GFNetHConfig:
    """Read every hyper-parameter off the names and shapes.

    Raises:
        KeyError, ValueError: the tensors do not form a GFNet-H.
    """
    stages = range(len(_numbers(tensors, "patch_embed")))
    widths = tuple(tensors[f"patch_embed.{stage}.proj.weight"].shape[0] for stage in stages)
    _, in_channels, patch_size, _ = tensors["patch_embed.0.proj.weight"].shape
    hidden = [tensors[f"blocks.{stage}.0.mlp.fc1.weight"].shape[0] for stage in stages]
    return GFNetHConfig(
        in_channels=in_channels,
        classes=tensors["head.weight"].shape[0] if "head.weight" in tensors else 0,
        # The network is square: the stored half spectrum would fit two widths.
        image_size=tensors["blocks.0.0.filter.complex_weight"].shape[0] * patch_size,
        patch_size=patch_size,
        widths=widths,
        depths=tuple(len(_numbers(tensors, f"blocks.{stage}")) for stage in stages),
        mlp_ratios=tuple(h / width for h, width in zip(hidden, widths, strict=True)),
        layer_scale=1.0 if "blocks.0.0.gamma" in tensors else None,  # where it started does not matter any more
    )


def official_name(name: str) -> str:
    """Translate the name of one of our parameters into the authors'."""
    if name in _OUTSIDE:
        return _OUTSIDE[name]
    part, stage, rest = name.split(".", 2)
    if part == "embeds":
        return f"patch_embed.{stage}.proj.{rest}"
    block, rest = rest.split(".", 1)
    return f"blocks.{stage}.{block}.{IN_BLOCK[rest]}"


def _numbers(tensors: Mapping[str, Tensor], part: str) -> set[str]:
    prefix = f"{part}."
    return {name.removeprefix(prefix).split(".", 1)[0] for name in tensors if name.startswith(prefix)}


def _input_rule(config: GFNetHConfig) -> str:
    least = config.patch_size * 2 ** (len(config.widths) - 1)
    return (
        f"any size from {least} × {least}, best {config.image_size} × {config.image_size}; "
        "RGB normalised by ImageNet's mean and deviation"
    )


SYSTEM = System(
    title="GFNet-H",
    network=GFNetH,
    config=GFNetHConfig,
    presets=GFNETH_PRESETS,
    recognise=recognise,
    infer_config=infer_config,
    official_name=official_name,
    dismiss=dismiss,
    input_rule=_input_rule,
    licence="The authors' code is under the MIT licence; the weights have no licence of their own.",
)
