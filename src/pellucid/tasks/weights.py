"""The weights that come with the package, and what their cards say."""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pellucid.errors import UsageError

_FOLDER = Path(str(resources.files("pellucid"))) / "weights"

TASKS = ("denoise", "dejpeg", "sr", "demosaic", "deblur", "defocus", "derain")

# For each task the weights for each scale, the usual one first.
DEFAULT_WEIGHTS: Mapping[str, Mapping[int, str]] = MappingProxyType(
    {
        "denoise": MappingProxyType({1: "restormer-denoise-s"}),
        "dejpeg": MappingProxyType({1: "restormer-dejpeg-s"}),
        "sr": MappingProxyType({2: "restormer-sr-x2-s", 4: "restormer-sr-x4-s"}),
        "demosaic": MappingProxyType({1: "restormer-demosaic-s"}),
        "deblur": MappingProxyType({1: "restormer-deblur-s"}),
        "defocus": MappingProxyType({1: "restormer-defocus-s"}),
        "derain": MappingProxyType({1: "restormer-derain-s"}),
    }
)


def default_weights(task: str | None = None, scale: int | None = None) -> str:
    """Return the name of a task's default weights; those of "denoise" where none is named.

    Raises:
        UsageError: there is no such task, or no weights for it at this scale.
    """
    task = task or "denoise"
    check_task(task)
    by_scale = DEFAULT_WEIGHTS[task]
    scale = scale or next(iter(by_scale))
    if scale in by_scale:
        return by_scale[scale]
    if task != "sr":
        raise UsageError(f"{task} keeps the size; leave out --scale, or enlarge with --task sr")
    raise UsageError(f"no weights for sr × {scale} come with pellucid; there are some for {_listed(by_scale)}")


def check_task(task: str) -> None:
    """Raise UsageError if there is no such task."""
    if task not in TASKS:
        raise UsageError(f"there is no task {task!r}; there is {_listed(TASKS)}")


def bundled_weights() -> list[str]:
    """List the names of the weights that come with the package."""
    return sorted(path.stem for path in _FOLDER.glob("*.safetensors"))


def read_card(name: str) -> dict[str, Any]:
    """Return the model card of bundled weights: architecture, training, measurements, licence, sha256."""
    return json.loads((_FOLDER / f"{name}.json").read_text())


def borne_by(weights: Path) -> tuple[str, ...]:
    """Return the reduced precisions that a weight file bears by its card, best first; none where it has no card."""
    if weights.parent != _FOLDER or not weights.with_suffix(".json").is_file():
        return ()
    return tuple(read_card(weights.stem).get("bears", ()))


def find_weights(name: str | Path) -> Path:
    """Turn a bundled name, a weight file, or the folder of a training run into the path of a weight file.

    Raises:
        UsageError: there is nothing of that name.
    """
    bundled = _FOLDER / f"{name}.safetensors"
    with suppress(OSError):  # a name too long for a file is the name of nothing
        for candidate in (bundled, Path(name) / "weights.safetensors", Path(name)):
            if candidate.is_file():
                return candidate
        if Path(name).is_dir():
            raise UsageError(f"the folder {name} holds no weights.safetensors; training writes it when it first saves")
    raise UsageError(f"{name} is neither a weight file nor one of the bundled weights ({_listed(bundled_weights())})")


def _listed(things: Iterable[object]) -> str:
    return ", ".join(map(str, things))
