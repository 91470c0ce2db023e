"""Reading weight files without ever running code from them."""

import json
import pickle
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, cast

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from pellucid.errors import CheckpointError

_WRAPPERS = ("params_ema", "params", "state_dict", "model_weight", "denoiser", "model")
_PREFIXES = ("module.", "model.", "bsn.")  # of all names: parallel training, or a network inside another module
_GENERATOR = "model_g."  # of the network, where its discriminator and losses are in the same file

# What training code stores beside the weights: its settings, as objects of these classes and of those inside them.
_SETTINGS_OBJECTS = (
    "argparse.Namespace",
    "yacs.config.CfgNode",
    "omegaconf.dictconfig.DictConfig",
    "omegaconf.listconfig.ListConfig",
    "omegaconf.base.ContainerMetadata",
    "omegaconf.base.Metadata",
    "omegaconf.nodes.AnyNode",
    "typing.Any",
    "collections.defaultdict",
    "builtins.dict",
    "builtins.int",
    "builtins.list",
)


class _StandIn:
    """Takes the place of a class that a file names: whatever it is called with, it makes an empty dictionary."""

    def __new__(cls, *_: object) -> OrderedDict[str, object]:
        return OrderedDict()


class WeightFile(NamedTuple):
    """The tensors of a file under their names.

    Attributes:
        tensors: those of the network.
        metadata: the text stored beside them (safetensors only).
        dismissed: the name of every other tensor → why it is left out.
    """

    tensors: dict[str, Tensor]
    metadata: dict[str, str]
    dismissed: dict[str, str]


def read_weight_file(path: Path) -> WeightFile:
    """Read a safetensors or PyTorch weight file.

    PyTorch files go through torch's restricted loader, which builds tensors and plain containers and nothing else; a
    file that needs more is refused, never loaded another way. Settings that training code stores beside the weights as
    objects (argparse, yacs, omegaconf) become empty dictionaries; their classes are not even imported. The wrappers in
    which training code saves weights (`params`, `state_dict`, `model`, …) and prefixes of all names (`module.`,
    `model.`, …) are taken off; where a network was saved with its discriminator and losses, only the network is kept.

    Raises:
        CheckpointError: the file is missing, damaged, of another kind, holds anything but named tensors, or would run
            code.
    """
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not start:
        raise CheckpointError(f"{path} is empty")
    tensors, metadata = _read_safetensors(path) if start[8:9] == b"{" else (_read_torch(path), {})
    kept, dismissed = _without_prefix(tensors)
    if not kept:
        raise CheckpointError(f"{path} holds no tensors")
    return WeightFile(kept, metadata, dismissed)


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:  # pyright: ignore[reportUnknownVariableType] - not annotated
            names, metadata = cast(list[str], file.keys()), cast(dict[str, str] | None, file.metadata())
            return {name: file.get_tensor(name) for name in names}, metadata or {}
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path} is not a whole safetensors file: {error}") from error


def _read_torch(path: Path) -> dict[str, Tensor]:
    try:
        stand_ins = torch.serialization.safe_globals([(_StandIn, name) for name in _SETTINGS_OBJECTS])
        # An open file, since torch chooses another reader by a path's suffix; its warnings advise programmers.
        with path.open("rb") as file, warnings.catch_warnings(), stand_ins:
            warnings.simplefilter("ignore")
            loaded: object = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} is not a weight file that can be read without running code from it; "
            "ask its author for a safetensors file"
        ) from error
    except Exception as error:  # a damaged file makes the reader stumble in every way there is
        raise CheckpointError(f"{path} is neither a safetensors nor a whole PyTorch weight file") from error
    return _unwrapped(path, loaded)


def _unwrapped(path: Path, loaded: object) -> dict[str, Tensor]:
    """Take wrappers off, and check that named tensors are left."""
    for wrapper in _WRAPPERS:
        if isinstance(loaded, Mapping) and isinstance(cast(Mapping[object, object], loaded).get(wrapper), Mapping):
            loaded = cast(Mapping[object, object], loaded)[wrapper]
    if not isinstance(loaded, Mapping):
        raise CheckpointError(f"{path} holds no dictionary of named tensors")
    tensors: dict[str, Tensor] = {}
    for name, value in cast(Mapping[object, object], loaded).items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise CheckpointError(f"{path} holds something other than named tensors: {name!r}")
        if value.layout != torch.strided or value.device.type != "cpu":
            raise CheckpointError(f"{path} holds {name!r} in a form that weights do not have")
        tensors[name] = value
    return tensors


def _without_prefix(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Take off what stands before every name; return what is the network's, and why the rest is not."""
    dismissed: dict[str, str] = {}
    if any(name.startswith(_GENERATOR) for name in tensors):
        dismissed = {name: "serves training only" for name in tensors if not name.startswith(_GENERATOR)}
        tensors = {name.removeprefix(_GENERATOR): t for name, t in tensors.items() if name.startswith(_GENERATOR)}
    while tensors and (prefix := next((p for p in _PREFIXES if all(n.startswith(p) for n in tensors)), None)):
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors, dismissed


def parse_metadata(path: Path, metadata: Mapping[str, str], key: str) -> dict[str, object] | None:
    """Return the JSON object stored under `key`, or None where there is none.

    Raises:
        CheckpointError: what is stored there is not a JSON object.
    """
    if key not in metadata:
        return None
    try:
        value: object = json.loads(metadata[key])
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is damaged: its {key!r} entry is not JSON") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} is damaged: its {key!r} entry is not a JSON object")
    return cast(dict[str, object], value)
