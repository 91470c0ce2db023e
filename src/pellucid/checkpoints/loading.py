"""From a weight file to a network, and back."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, cast

import torch
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from pellucid.checkpoints.catalogue import SYSTEMS
from pellucid.checkpoints.reading import WeightFile, parse_metadata, read_weight_file
from pellucid.checkpoints.system import System, UnstatedError
from pellucid.errors import CheckpointError, UsageError
from pellucid.files import atomic_path

_METADATA_KEY = "pellucid"


class Described(NamedTuple):
    """What a weight file holds.

    Attributes:
        system: its name in the catalogue.
        config: its configuration.
        tensors: those that are used, each once, under our names.
        official: whether the file is in the authors' layout.
        dismissed: the authors' name of every other tensor → why it is left out.
        about: what a file of ours says of its weights: "task" and "scale", in a file that `pellucid train` wrote.
    """

    system: str
    config: Any
    tensors: dict[str, Tensor]
    official: bool
    dismissed: dict[str, str]
    about: Mapping[str, str] = MappingProxyType({})


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


def load(path: str | Path, **settings: Any) -> nn.Module:
    """Load a network from a weight file: the authors' or our own; its kind is found from its contents.

    Every tensor of the file is used exactly once, or named as left out by `describe`. The network is in float32 and in
    evaluation mode.

    Args:
        path: safetensors, or a PyTorch file.
        **settings: what the authors' files leave open, such as num_heads=(2, 4, 6, 8) for a CloFormer of widths that
            were never published; a file that leaves something open is refused with a sentence that names it.

    Raises:
        CheckpointError: the file cannot be read safely, is of no known system, does not fit it exactly, or leaves
            something open.
        UsageError: a setting is not one of the system's.
    """
    return build(describe(path, **settings))


def build(described: Described) -> nn.Module:
    """Build the network that a weight file holds, with its weights, in float32 and in evaluation mode."""
    with torch.device("meta"):
        network = SYSTEMS[described.system].network(described.config)
    tensors = {
        name: tensor.to(torch.float32) if tensor.is_floating_point() else tensor
        for name, tensor in described.tensors.items()
    }
    network.load_state_dict(tensors, strict=True, assign=True)
    return network.eval().requires_grad_(False)


def describe(path: str | Path, **settings: Any) -> Described:
    """Find what a weight file holds; takes and raises what `load` does."""
    path = Path(path)
    weights = read_weight_file(path)
    described = _describe_own(path, weights, settings) or _describe_official(path, weights, settings)
    _check_fit(path, described)
    return described


def count_parameters(described: Described) -> int:
    """Return the number of trainable parameters of the network that a weight file holds."""
    with torch.device("meta"):
        network = SYSTEMS[described.system].network(described.config)
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def convert(source: str | Path, target: str | Path, *, overwrite: bool = False, **settings: Any) -> Described:
    """Write the authors' weights as safetensors that hold their configuration, for `load` to need nothing else.

    Args:
        source, settings: as for `load`.
        target: the safetensors file.
        overwrite: replace the target if it exists, only when the new file is whole.

    Raises:
        CheckpointError, UsageError: as `load` does.
        PellucidError: the target exists, or cannot be written.
    """
    described = describe(source, **settings)
    _write(described.tensors, described.system, described.config, Path(target), overwrite=overwrite)
    return described


def save(
    network: nn.Module,
    system: str,
    path: str | Path,
    *,
    dtype: torch.dtype = torch.float32,
    about: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Write a network's weights as safetensors with its configuration, replacing the file only when whole.

    Args:
        network: of that system.
        system: its name in the catalogue.
        path: the file.
        dtype: of the weights in the file.
        about: what `describe` gives back as it is: "task" (such as "sr") and "scale" (such as "4").

    Raises:
        PellucidError: the file cannot be written.
    """
    tensors = {
        name: tensor.detach().to("cpu", dtype if tensor.is_floating_point() else tensor.dtype)
        for name, tensor in network.state_dict().items()
    }
    _write(tensors, system, cast(Any, network).config, Path(path), overwrite=True, about=about)


def _write(
    tensors: Mapping[str, Tensor],
    system: str,
    config: Any,
    path: Path,
    *,
    overwrite: bool,
    about: Mapping[str, str] = MappingProxyType({}),
) -> None:
    # Copies, since safetensors refuses tensors that share memory.
    content = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
    metadata = {
        _METADATA_KEY: json.dumps(
            {"system": system, "config": asdict(config), **({"about": dict(about)} if about else {})}
        )
    }
    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(to_bytes(content, metadata))


def _describe_own(path: Path, weights: WeightFile, settings: Mapping[str, Any]) -> Described | None:
    stored = parse_metadata(path, weights.metadata, _METADATA_KEY)
    if stored is None:
        return None
    system, fields = stored.get("system"), stored.get("config")
    if not isinstance(system, str) or system not in SYSTEMS or not isinstance(fields, dict):
        raise CheckpointError(f"{path} is of a system that this version does not know: {system!r}")
    if settings:
        raise UsageError(f"{path} holds its own configuration, so {', '.join(settings)} cannot be given")
    try:
        config = SYSTEMS[system].config(**_with_tuples(cast(dict[str, object], fields)))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise CheckpointError(f"{path} holds a configuration that does not make sense: {error}") from error
    about = cast(dict[object, object], stored.get("about", {}))
    if type(about) is not dict or any(type(word) is not str for pair in about.items() for word in pair):
        raise CheckpointError(f"{path} says something of its weights that does not make sense: {about!r}")
    return Described(system, config, weights.tensors, official=False, dismissed={}, about=cast(dict[str, str], about))


def _with_tuples(fields: Mapping[str, object]) -> dict[str, object]:
    """Turn the lists of JSON into the tuples that they were."""

    def frozen(value: object) -> object:
        return tuple(frozen(item) for item in cast(list[object], value)) if isinstance(value, list) else value

    return {name: frozen(value) for name, value in fields.items()}


def _describe_official(path: Path, weights: WeightFile, settings: Mapping[str, Any]) -> Described:
    for name, system in SYSTEMS.items():
        if system.recognise(weights.tensors):
            if unknown := settings.keys() - set(system.settings):
                known = ", ".join(system.settings) or "no settings"
                raise UsageError(f"{path} holds {system.title}, which takes {known}, not {', '.join(sorted(unknown))}")
            dismissed = {name: why for name in weights.tensors if (why := system.dismiss(name)) is not None}
            try:
                config = system.infer_config(weights.tensors, **settings)
                used = {name: tensor for name, tensor in weights.tensors.items() if name not in dismissed}
                tensors = _renamed(system, config, used)
            except UnstatedError as error:
                raise CheckpointError(f"{path} holds {system.title} but does not say everything: {error}") from error
            except (KeyError, ValueError, IndexError, TypeError, OverflowError, ZeroDivisionError) as error:
                raise CheckpointError(f"{path} looks like {system.title} but is not whole: {error}") from error
            return Described(name, config, tensors, official=True, dismissed={**weights.dismissed, **dismissed})
    titles = ", ".join(system.title for system in SYSTEMS.values())
    raise CheckpointError(f"{path} holds weights of no known network ({titles})")


def _renamed(system: System, config: object, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors under our names; those with no place keep theirs, for the check to name them."""
    with torch.device("meta"):
        ours = {system.official_name(name): name for name in system.network(config).state_dict()}
    return {
        ours.get(name, name): system.adapt(ours[name], tensor) if name in ours else tensor
        for name, tensor in tensors.items()
    }


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
        if tensor.shape != found.shape or tensor.is_floating_point() != found.is_floating_point():
            kind = "floating-point numbers" if tensor.is_floating_point() else str(tensor.dtype)
            raise CheckpointError(
                f"{path} does not fit {title}: {name} is {tuple(found.shape)} of {found.dtype} "
                f"and should be {tuple(tensor.shape)} of {kind}"
            )
        if found.is_floating_point() and not bool(torch.isfinite(found.to(torch.float32)).all()):
            raise CheckpointError(f"{path} is damaged: {name} holds values that are not finite numbers")
