"""From a weight file to a network, and back."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from pellucid.checkpoints.catalogue import SYSTEMS, System
from pellucid.checkpoints.reading import WeightFile, parse_metadata, read_weight_file
from pellucid.errors import CheckpointError, UsageError
from pellucid.files import atomic_path

_METADATA_KEY = "pellucid"


class Described(NamedTuple):
    """What a weight file holds: the system, its configuration, and its tensors under our names."""

    system: str
    config: Any
    tensors: dict[str, Tensor]
    official: bool


def create(system: str, *, preset: str) -> nn.Module:
    """Build a network with random weights, in evaluation mode.

    Args:
        system: a name in the catalogue, such as "restormer".
        preset: one of its presets, such as "base".

    Raises:
        UsageError: there is no such system or preset.
    """
    if system not in SYSTEMS:
        raise UsageError(f"There is no system {system!r}; there is {', '.join(SYSTEMS)}")
    presets = SYSTEMS[system].presets
    if preset not in presets:
        raise UsageError(f"{system} has no preset {preset!r}; it has {', '.join(presets)}")
    return SYSTEMS[system].network(presets[preset]).eval()


def load(path: str | Path) -> nn.Module:
    """Load a network from a weight file: the authors' or our own; its kind is found from its contents.

    Every tensor of the file is used exactly once. The network is in float32 and in evaluation mode.

    Raises:
        CheckpointError: the file cannot be read safely, is of no known system, or does not fit it exactly.
    """
    described = describe(path)
    with torch.device("meta"):
        network = SYSTEMS[described.system].network(described.config)
    tensors = {name: tensor.to(torch.float32) for name, tensor in described.tensors.items()}
    network.load_state_dict(tensors, strict=True, assign=True)
    return network.eval().requires_grad_(False)


def describe(path: str | Path) -> Described:
    """Find what a weight file holds; raises as `load` does."""
    path = Path(path)
    weights = read_weight_file(path)
    described = _describe_own(path, weights) or _describe_official(path, weights)
    _check_fit(path, described)
    return described


def save(network: nn.Module, system: str, path: str | Path, *, dtype: torch.dtype = torch.float32) -> None:
    """Write a network's weights as safetensors with its configuration, replacing the file only when whole.

    Raises:
        PellucidError: the file cannot be written.
    """
    config = asdict(cast(Any, network).config)
    tensors = {name: t.detach().to("cpu", dtype).contiguous() for name, t in network.state_dict().items()}
    metadata = {_METADATA_KEY: json.dumps({"system": system, "config": config})}
    with atomic_path(Path(path), overwrite=True) as temporary:
        temporary.write_bytes(to_bytes(tensors, metadata))


def _describe_own(path: Path, weights: WeightFile) -> Described | None:
    stored = parse_metadata(path, weights.metadata, _METADATA_KEY)
    if stored is None:
        return None
    system, fields = stored.get("system"), stored.get("config")
    if not isinstance(system, str) or system not in SYSTEMS or not isinstance(fields, dict):
        raise CheckpointError(f"{path} is of a system that this version does not know: {system!r}")
    values = {
        name: tuple(cast(list[object], value)) if isinstance(value, list) else value
        for name, value in cast(dict[str, object], fields).items()
    }
    try:
        config = SYSTEMS[system].config(**values)
    except (TypeError, ValueError, OverflowError) as error:
        raise CheckpointError(f"{path} holds a configuration that does not make sense: {error}") from error
    return Described(system, config, weights.tensors, official=False)


def _describe_official(path: Path, weights: WeightFile) -> Described:
    for name, system in SYSTEMS.items():
        if system.recognise(weights.tensors):
            try:
                config = system.infer_config(weights.tensors)
                tensors = _renamed(system, config, weights.tensors)
            except (KeyError, ValueError, IndexError, TypeError, OverflowError) as error:
                raise CheckpointError(f"{path} looks like {system.title} but is not whole: {error}") from error
            return Described(name, config, tensors, official=True)
    titles = ", ".join(system.title for system in SYSTEMS.values())
    raise CheckpointError(f"{path} holds weights of no known network ({titles})")


def _renamed(system: System, config: object, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors under our names; those with no place keep theirs, for the check to name them."""
    with torch.device("meta"):
        ours = {system.official_name(name): name for name in system.network(config).state_dict()}
    return {ours.get(name, name): tensor for name, tensor in tensors.items()}


def _check_fit(path: Path, described: Described) -> None:
    """Check that names and shapes are exactly the network's, and that every value is a finite number."""
    title = SYSTEMS[described.system].title
    with torch.device("meta"):
        expected = SYSTEMS[described.system].network(described.config).state_dict()
    missing, surplus = expected.keys() - described.tensors.keys(), described.tensors.keys() - expected.keys()
    if missing or surplus:
        raise CheckpointError(
            f"{path} does not fit {title}: {len(missing)} tensors are missing and {len(surplus)} have no place "
            f"(first: {min(missing | surplus)})"
        )
    for name, tensor in expected.items():
        found = described.tensors[name]
        if tensor.shape != found.shape or not found.is_floating_point():
            raise CheckpointError(
                f"{path} does not fit {title}: {name} is {tuple(found.shape)} of {found.dtype} "
                f"and should be {tuple(tensor.shape)} of floating-point numbers"
            )
        if not bool(torch.isfinite(found.to(torch.float32)).all()):
            raise CheckpointError(f"{path} is damaged: {name} holds values that are not finite numbers")
