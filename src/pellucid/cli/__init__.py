"""The command line: parse, call a task, print. It decides nothing about pictures."""

import io
import os
import sys

from pellucid.cli.process import ask_for_whole_blocks, keep_freed_memory, start_again
from pellucid.errors import PellucidError, UsageError


def program() -> None:
    """Run the command line as a program of its own: with an environment that suits it."""
    if ask_for_whole_blocks():
        start_again()
    main()


def main() -> None:
    """Run the command line; exit with 0 if all went well, 1 if something failed, 2 for wrong usage, 130 for Ctrl-C."""
    keep_freed_memory()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal may know fewer characters than names have
    try:
        from pellucid.cli.app import app  # in here, since Ctrl-C may come while it loads
        from pellucid.cli.display import printable
    except KeyboardInterrupt:
        sys.exit(130)
    try:
        app()
    except PellucidError as error:
        print(printable(f"pellucid: {error}"), file=sys.stderr)  # noqa: T201
        sys.exit(2 if isinstance(error, UsageError) else 1)
    except OSError as error:  # what reads and writes pictures has sentences of its own
        print(printable(f"pellucid: stopped, since the system says: {error}"), file=sys.stderr)  # noqa: T201
        os._exit(1)  # Python would try again to print what could not be printed
