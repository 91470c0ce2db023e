"""CAT-Net's weights under our own names; there are no others.

The authors released none, and what their published code would save belongs to another network than the paper's. So a
bare file of our names is what is recognised here, its configuration read off names and shapes.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from pellucid.checkpoints.system import System
from pellucid.models.catnet import CATNET_PRESETS, CATNet, CATNetConfig

_OURS = frozenset({"reduce.weight", "mife.support_fusion.weight", "cmats.0.across.0.attention.query.weight"})
_PUBLISHED_CODE = ("self_attention.", "cross_attention.", "conv_fusion.")
_PUBLISHED_ENCODER = "encoder.backbone."


def recognise(tensors: Mapping[str, Tensor]) -> bool:
    """Whether the names are ours, or those that the authors' published code would save."""
    return tensors.keys() >= _OURS or _is_published_code(tensors)


def infer_config(tensors: Mapping[str, Tensor], **settings: Any) -> CATNetConfig:
    """Read off the names and shapes what they tell; the rest is as given, or the paper's.

    The kind of head is among the latter: a file whose threshold got lost must not pass for one with the other kind.

    Raises:
        KeyError, ValueError: the tensors do not form a CAT-Net.
    """
    if _is_published_code(tensors):
        raise ValueError(
            "it has the tensors of the authors' published code, a network without the paper's masks, fusions and "
            "iterations, whose weights do not map onto the paper's network"
        )
    channels, features = tensors["reduce.weight"].shape[:2]
    return CATNetConfig(
        blocks=tuple(
            _count(tensors, f"encoder.stages.{stage}.") for stage in range(_count(tensors, "encoder.stages."))
        ),
        features=features,
        channels=channels,
        iterations=_count(tensors, "cmats."),
        key_channels=tensors["cmats.0.across.0.attention.query.weight"].shape[0],
        shared_streams=_count(tensors, "cmats.0.across.") == 1,
        **settings,
    )


def _is_published_code(tensors: Mapping[str, Tensor]) -> bool:
    return any(name.startswith(_PUBLISHED_ENCODER) for name in tensors) and any(
        name.startswith(_PUBLISHED_CODE) for name in tensors
    )


def _count(tensors: Mapping[str, Tensor], prefix: str) -> int:
    """The number of different items under a prefix: of blocks, streams or stages."""
    return len({name.removeprefix(prefix).split(".", 1)[0] for name in tensors if name.startswith(prefix)})


def _stored_config(**fields: Any) -> CATNetConfig:
    """Build the configuration of a file of ours, whose encoder must be ours to be built from it."""
    config = CATNetConfig(**fields)
    if not config.blocks:
        raise ValueError("its encoder is not ours, so build CATNet(config, encoder) and load the state into that")
    return config


def _input_rule(config: CATNetConfig) -> str:
    del config
    return "support pictures, their masks and a query of any size, in three channels normalised over their volume"


SYSTEM = System(
    title="CAT-Net",
    network=CATNet,
    config=_stored_config,
    presets=CATNET_PRESETS,
    recognise=recognise,
    infer_config=infer_config,
    official_name=lambda name: name,
    settings=("heads", "mask_mode", "head", "alpha", "threshold", "dilated_threshold"),
    input_rule=_input_rule,
    licence="No weights were released by the authors; their code is under Apache-2.0.",
)
