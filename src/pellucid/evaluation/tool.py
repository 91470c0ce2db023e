"""The tool itself, as a method to be measured."""

from pathlib import Path

from pellucid.evaluation.measuring import Restore
from pellucid.evaluation.protocols import Protocol
from pellucid.tasks import RestoreOptions, Restorer, default_weights


def tool_for(
    protocol: Protocol, *, weights: str | Path | None = None, memory: int | str | None = None, device: str = "auto"
) -> tuple[Restore, Path]:
    """Return what `pellucid restore` does for a task, and the weight file it does it with.

    Args:
        protocol: of the task.
        weights, memory, device: see `RestoreOptions`.

    Raises:
        UsageError: the task has no default weights and none are named, or an option has no meaning.
        CheckpointError: the weights cannot be loaded.
    """
    options = RestoreOptions(weights=weights or default_weights(protocol.task), memory=memory, device=device)
    restorer = Restorer(options)
    return (lambda degraded: restorer(protocol.prepare(degraded))), restorer.weights
