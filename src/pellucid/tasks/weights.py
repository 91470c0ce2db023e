"""The weights that come with the package, and what their cards say."""

import json
from collections.abc import Mapping
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
    {"denoise": MappingProxyType({1: "restormer-denoise-s"})}
)


def default_weights(task: str | None = None, scale: int | None = None) -> str:
    """Return the name of a task's default weights; those of "denoise" where none is named.

    Raises:
        UsageError: there is no such task, or there are none for it or for this scale.
    """
    task = check_task(task or "denoise")
    if task not in DEFAULT_WEIGHTS:
        raise UsageError(f"pellucid comes without weights for {task}; name some with --weights")
    by_scale = DEFAULT_WEIGHTS[task]
    scale = scale or next(iter(by_scale))
    if scale not in by_scale:
        raise UsageError(f"{task} has no weights for scale {scale}; there are some for {', '.join(map(str, by_scale))}")
    return by_scale[scale]


def check_task(task: str) -> str:
    """Return the name of a task; raises UsageError where there is none of that name."""
    if task not in TASKS:
        raise UsageError(f"there is no task {task!r}; there is {', '.join(TASKS)}")
    return task


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
    raise UsageError(f"{name} is neither a weight file nor one of the bundled weights ({', '.join(bundled_weights())})")
