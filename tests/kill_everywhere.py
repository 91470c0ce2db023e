"""A batch that dies at its n-th call of the system, for every n, and is run again: a program that a test starts.

Its arguments: the weights, a folder of pictures, a folder of results that does not exist. Prints how often the batch
died where the file system has links and where it has none.
"""

import errno
import os
import shutil
import signal
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path

import torch

from pellucid.tasks import RestoreOptions, Restorer, plan_jobs, restore_files
from pellucid.tasks.ledger import LEDGER_NAME

CALLS = ("open", "write", "fsync", "link", "replace", "unlink", "mkdir")


def die_at(nth: int, *, links: bool) -> None:
    """Let the n-th of these calls be the last thing that this process does not do."""
    calls = count(1)

    def deadly(call: Callable[..., object]) -> Callable[..., object]:
        def instead(*arguments: object, **options: object) -> object:
            if next(calls) == nth:
                os.kill(os.getpid(), signal.SIGKILL)
            if call is link and not links:
                raise OSError(errno.EPERM, "no links here")
            return call(*arguments, **options)

        return instead

    link = os.link
    for name in CALLS:
        setattr(os, name, deadly(getattr(os, name)))


def run(restorer: Restorer, source: Path, output: Path, *, nth: int, links: bool) -> int:
    """Run the batch in a process of its own; returns its exit code."""
    process = os.fork()
    if process:
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    code = 70
    try:
        jobs = plan_jobs([source], output, recursive=True)
        die_at(nth, links=links)
        code = sum(outcome.error is not None for outcome in restore_files(restorer, jobs, overwrite=False))
    finally:
        os._exit(code)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def kill_everywhere(restorer: Restorer, source: Path, output: Path, *, links: bool) -> int:
    """Returns the number of calls before each of which the batch was killed."""
    assert run(restorer, source, output, nth=-1, links=links) == 0
    expected = files(output)
    del expected[LEDGER_NAME]
    for nth in count(1):
        shutil.rmtree(output)
        code = run(restorer, source, output, nth=nth, links=links)
        if code == 0:
            return nth - 1
        assert code == -signal.SIGKILL, code
        for name, content in files(output).items() if output.exists() else ():
            placed = Path(name).name != LEDGER_NAME and not name.endswith(".part")
            # Where there are no links, a name is claimed by an empty file for a moment.
            assert not placed or content == expected[name] or (not links and content == b""), (nth, name)
        assert run(restorer, source, output, nth=-1, links=links) == 0, nth
        found = files(output)
        assert LEDGER_NAME in found
        assert {name: content for name, content in found.items() if name != LEDGER_NAME} == expected, nth
    raise AssertionError


def main(weights: str, source: Path, output: Path) -> None:
    torch.set_num_threads(1)  # a process with threads cannot be forked
    restorer = Restorer(RestoreOptions(weights=weights, device="cpu"))
    died = [kill_everywhere(restorer, source, output / str(links), links=links) for links in (True, False)]
    sys.stdout.write(" ".join(map(str, died)))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
