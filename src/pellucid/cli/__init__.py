"""The command line: parse, call a task, print. It decides nothing about pictures."""

import sys

from pellucid.cli.app import app
from pellucid.cli.process import keep_freed_memory
from pellucid.errors import PellucidError, UsageError


def main() -> None:
    """Run the command line; exit with 0 if all went well, 1 if something failed, 2 for wrong usage."""
    keep_freed_memory()
    try:
        app()
    except PellucidError as error:
        print(f"pellucid: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(2 if isinstance(error, UsageError) else 1)
