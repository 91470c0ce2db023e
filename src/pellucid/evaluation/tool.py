"""The tool itself, as a method to be measured."""

from pathlib import Path

from pellucid.evaluation.measuring import Restore
from pellucid.evaluation.protocols import Protocol
from pellucid.tasks import RestoreOptions, Restorer


def tool_for(
    protocol: Protocol, *, weights: str | Path | None = None, memory: int | str | None = None, device: str = "auto"
) -> tuple[Restore, str]:
    """Return what `pellucid restore` does for a task, and the name of the weights or of the run it does it with.

    Args:
        protocol: of the task.
        weights, memory, device: see `RestoreOptions`.

    Raises:
        UsageError: the task has no default weights and none are named, or an option has no meaning.
        CheckpointError: the weights cannot be loaded.
    """
    scale = protocol.scale if protocol.scale > 1 else None
    restorer = Restorer(RestoreOptions(task=protocol.task, scale=scale, weights=weights, memory=memory, device=device))
    path = restorer.weights
    return restorer, path.parent.name if path.name == "weights.safetensors" else path.stem
