"""What a person asks for."""

from pellucid.tasks.batch import FileProgress, Outcome, restore_files
from pellucid.tasks.inputs import Skipped
from pellucid.tasks.plan import Job, plan_jobs
from pellucid.tasks.restore import RestoreOptions, Restorer, restore
from pellucid.tasks.weights import DEFAULT_WEIGHTS, bundled_weights, default_weights, find_weights, read_card

__all__ = [
    "DEFAULT_WEIGHTS",
    "FileProgress",
    "Job",
    "Outcome",
    "RestoreOptions",
    "Restorer",
    "Skipped",
    "bundled_weights",
    "default_weights",
    "find_weights",
    "plan_jobs",
    "read_card",
    "restore",
    "restore_files",
]
