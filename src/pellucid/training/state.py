"""The state of a run on disk: written whole or not at all, read back exactly."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

from pellucid.errors import DataError
from pellucid.files import atomic_path
from pellucid.training.recipes import Recipe


class Stateful(Protocol):
    """A network or an optimizer."""

    def state_dict(self) -> dict[str, Any]:
        """Return everything that has to be kept."""
        ...

    def load_state_dict(self, state_dict: dict[str, Any], /) -> object:
        """Take back what `state_dict` returned."""
        ...


def save_state(
    path: Path, recipe: Recipe, parts: Mapping[str, Stateful], step: int, samples: int, seconds: float
) -> None:
    """Write everything a run needs to go on after `step` steps and `seconds` of training."""
    state = {"recipe": _fingerprint(recipe), "step": step, "samples": samples, "seconds": seconds}
    state |= {name: part.state_dict() for name, part in parts.items()}
    with atomic_path(path, overwrite=True) as temporary:
        torch.save(
            {"recipe": _fingerprint(recipe), "step": step, "samples": samples, "seconds": seconds, **state}, temporary
        )


def load_state(path: Path, recipe: Recipe, parts: Mapping[str, Stateful]) -> tuple[int, int, float]:
    """Restore the parts of a run and return its step, samples and seconds; (0, 0, 0.0) where none was saved.

    Raises:
        DataError: the state is damaged or belongs to another recipe.
    """
    if not path.exists():
        return 0, 0, 0.0
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if state["recipe"] != _fingerprint(recipe):
            raise DataError(f"{path.parent} holds a run of another recipe; choose another folder")
        for name, part in parts.items():
            part.load_state_dict(state[name])
        return state["step"], state["samples"], state["seconds"]
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is damaged; start the run anew in another folder") from error


def _fingerprint(recipe: Recipe) -> str:
    return repr(recipe)
