"""What a person asks for."""

from pellucid.tasks.batch import FileProgress, Job, Outcome, plan_jobs, restore_files
from pellucid.tasks.restore import RestoreOptions, Restorer, restore
from pellucid.tasks.weights import DEFAULT_WEIGHTS, bundled_weights, default_weights, find_weights, read_card

__all__ = [
    "DEFAULT_WEIGHTS",
    "FileProgress",
    "Job",
    "Outcome",
    "RestoreOptions",
    "Restorer",
    "bundled_weights",
    "default_weights",
    "find_weights",
    "plan_jobs",
    "read_card",
    "restore",
    "restore_files",
]
