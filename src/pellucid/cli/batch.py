"""What a person sees of a batch: how far it has come, what became of each file, and all that failed at the end.

Results go to standard output, everything else to standard error.
"""

import json
import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from pellucid.cli.display import printable, say
from pellucid.cli.process import lay_in_small_blocks, second_interrupt_kills

if TYPE_CHECKING:
    from pellucid.tasks import FileProgress, Job, Outcome, Restorer, Skipped

_SECONDS_BETWEEN_LINES = 15.0
_NAMES = 5  # of files left alone for one reason that are told; the others are counted


class BatchDisplay:
    """Shows a batch while it is entered; as JSON, a line for each file and nothing else."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._skipped: dict[str, list[str]] = {}
        self._counts: Counter[str] = Counter()
        self._failures: list[str] = []
        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[words]}", markup=False),
            console=console,
            transient=True,
            disable=as_json or not console.is_terminal,
        )
        self._lines = not as_json and not console.is_terminal
        self._task = self._bar.add_task("", total=None, words="")
        self._last_line = time.monotonic()
        self._work_began: float | None = None

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def restore(
        self, restorer: "Restorer", jobs: "Sequence[Job]", *, overwrite: bool, compare: bool, record: bool
    ) -> int:
        """Restore files and show how it goes; return what the shell is to know: 0, 1 for failures, 130 for Ctrl-C."""
        from pellucid.tasks import restore_files

        lay_in_small_blocks()
        try:
            with second_interrupt_kills(), self:
                for outcome in restore_files(
                    restorer,
                    jobs,
                    overwrite=overwrite,
                    compare=compare,
                    record=record,
                    report=self.report,
                    say=self.say,
                ):
                    self.show(outcome)
        except KeyboardInterrupt:
            self.summarise(len(jobs), interrupted=True)
            return 130
        self.summarise(len(jobs))
        return int(bool(self._failures))

    def skip(self, skipped: "Skipped") -> None:
        """Remember a file that is left alone; `show_skipped` tells."""
        if self._as_json:
            typer.echo(json.dumps(skipped.as_dict()))
        self._skipped.setdefault(skipped.reason, []).append(str(skipped.path))

    def show_skipped(self) -> None:
        """Say in a line for each reason which files are left alone."""
        for reason, names in () if self._as_json else self._skipped.items():
            more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
            say(f"skipped, {reason}: {', '.join(names[:_NAMES])}{more}")

    def say(self, job: "Job", note: str) -> None:
        """Say what has to change in a file."""
        if not self._as_json:
            say(f"{job.source}: {note}")

    def report(self, state: "FileProgress") -> None:
        """Show how far the batch is: as a bar, or as a line now and then where there is no terminal."""
        now = time.monotonic()
        if self._work_began is None and state.megapixels:
            self._work_began = now
        if self._lines and now - self._last_line < _SECONDS_BETWEEN_LINES:
            return
        self._last_line = now
        words = f"{state.files_done} of {state.files} files"
        if state.failed:
            words += f", {state.failed} failed"
        if self._work_began is not None:
            words += f", {state.megapixels_done:,.1f} of {state.megapixels:,.1f} megapixels"
            if state.megapixels_done:
                left = (state.megapixels / state.megapixels_done - 1) * (now - self._work_began)
                words += f", {_duration(left)} left"
        if self._lines:
            say(f"{state.name}: {words}")
        done, total = (state.megapixels_done, state.megapixels) if state.megapixels else (state.files_done, state.files)
        self._bar.update(self._task, description=printable(state.name), completed=done, total=total, words=words)

    def show(self, outcome: "Outcome") -> None:
        """One line for what became of a file; failures wait for the end."""
        self._counts[outcome.status] += 1
        if outcome.error is not None:
            self._failures.append(outcome.error)
        if self._as_json:
            typer.echo(json.dumps(outcome.as_dict()))
        elif outcome.header is not None:
            what = "done already"
            if outcome.status == "restored":
                pages = f", {outcome.header.pages} pages" if outcome.header.pages > 1 else ""
                what = f"{outcome.header.width} × {outcome.header.height}{pages} restored in {outcome.seconds:.1f} s"
            typer.echo(f"{printable(str(outcome.job.target))}: {what}")

    def summarise(self, files: int, *, interrupted: bool = False) -> None:
        """The counts, where there were several files, and every failure."""
        if self._as_json:
            return
        kinds = ("restored", "done already", "failed")
        words = [f"{self._counts[kind]} {kind}" for kind in kinds if self._counts[kind]]
        if interrupted:
            left = files - self._counts.total()
            words += [f"{left} left; the same command goes on where this one stopped"]
            typer.echo(f"interrupted: {', '.join(words)}", err=True)
        elif files > 1:
            typer.echo(", ".join(words), err=True)
        for failure in self._failures:
            say(f"pellucid: {failure}")


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
