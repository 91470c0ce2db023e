"""GFNet's released weights: recognise, infer the configuration from names and shapes, rename.

The authors' names appear here and nowhere else.
"""

from collections.abc import Mapping

from torch import Tensor

from pellucid.checkpoints.system import System
from pellucid.models.gfnet import GFNET_PRESETS, GFNet, GFNetConfig

IN_BLOCK = {
    "gamma": "gamma",
    "norm1.weight": "norm1.weight",
    "norm1.bias": "norm1.bias",
    "filter.complex_weight": "filter.complex_weight",
    "norm2.weight": "norm2.weight",
    "norm2.bias": "norm2.bias",
    "expand.weight": "mlp.fc1.weight",
    "expand.bias": "mlp.fc1.bias",
    "project.weight": "mlp.fc2.weight",
    "project.bias": "mlp.fc2.bias",
}
_OUTSIDE = {
    "position.embedding": "pos_embed",
    "embed.weight": "patch_embed.proj.weight",
    "embed.bias": "patch_embed.proj.bias",
    "norm.weight": "norm.weight",
    "norm.bias": "norm.bias",
    "head.weight": "head.weight",
    "head.bias": "head.bias",
}
_UNUSED = ("pre_logits.", "head_dist.", "aux_head.")


def recognise(tensors: Mapping[str, Tensor]) -> bool:
    """Whether the names are those of a GFNet checkpoint."""
    return {"pos_embed", "patch_embed.proj.weight", "blocks.0.filter.complex_weight"} <= set(tensors)


def infer_config(tensors: Mapping[str, Tensor]) -> GFNetConfig:
    """Read every hyper-parameter off the names and shapes.

    Raises:
        KeyError, ValueError: the tensors do not form a GFNet.
    """
    width, in_channels, patch_size, _ = tensors["patch_embed.proj.weight"].shape
    return GFNetConfig(
        in_channels=in_channels,
        classes=tensors["head.weight"].shape[0] if "head.weight" in tensors else 0,
        # The network is square: the stored half spectrum would fit two widths.
        image_size=tensors["blocks.0.filter.complex_weight"].shape[0] * patch_size,
        patch_size=patch_size,
        width=width,
        depth=len({name.split(".")[1] for name in tensors if name.startswith("blocks.")}),
        mlp_ratio=tensors["blocks.0.mlp.fc1.weight"].shape[0] / width,
        layer_scale=1.0 if "blocks.0.gamma" in tensors else None,  # where it started does not matter any more
    )


def official_name(name: str) -> str:
    """Translate the name of one of our parameters into the authors'."""
    if name in _OUTSIDE:
        return _OUTSIDE[name]
    blocks, index, part = name.split(".", 2)
    return f"{blocks}.{index}.{IN_BLOCK[part]}"


def dismiss(name: str) -> str | None:
    """Say why a tensor of the authors' is left out."""
    return "not used by the network" if name.startswith(_UNUSED) else None


def _input_rule(config: GFNetConfig) -> str:
    return (
        f"any size from {config.patch_size} × {config.patch_size}, best {config.image_size} × {config.image_size}; "
        "RGB normalised by ImageNet's mean and deviation"
    )


SYSTEM = System(
    title="GFNet",
    network=GFNet,
    config=GFNetConfig,
    presets=GFNET_PRESETS,
    recognise=recognise,
    infer_config=infer_config,
    official_name=official_name,
    dismiss=dismiss,
    input_rule=_input_rule,
    licence="The authors' code is under the MIT licence; the weights have no licence of their own.",
)
