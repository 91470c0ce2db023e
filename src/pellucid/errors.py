"""The errors pellucid raises on purpose; anything else that escapes is a defect."""


class PellucidError(Exception):
    """A sentence for the user: what was wrong, with which file, and what to do."""


class PictureError(PellucidError):
    """A picture that cannot be read, held or written as asked."""


class CheckpointError(PellucidError):
    """A model file that is unsafe, damaged, unknown, or does not match its network."""


class BudgetError(PellucidError):
    """Work that does not fit the memory, time or disk it was given."""


class DataError(PellucidError):
    """A data set that is missing, incomplete or not laid out as its recipe says."""


class UsageError(PellucidError):
    """Options that contradict each other or name something that does not exist."""
