"""Restoring files: where results go, what is refused before work starts, what is said afterwards."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from pellucid.errors import PellucidError, UsageError
from pellucid.images import (
    PictureHeader,
    PictureStream,
    bytes_to_write,
    open_pages,
    read_header,
    unsupported,
    write_pages,
)
from pellucid.tasks.restore import Restorer


@dataclass(frozen=True, kw_only=True)
class Job:
    """One file to restore and where the result goes."""

    source: Path
    target: Path


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a job: its header and seconds if it succeeded, else the error; and what had to change."""

    job: Job
    header: PictureHeader | None = None
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    error: str | None = None

    def as_dict(self) -> dict[str, object]:
        """Return the outcome as plain values, for JSON."""
        return {
            "source": str(self.job.source),
            "target": str(self.job.target) if self.error is None else None,
            "picture": asdict(self.header) if self.header else None,
            "seconds": round(self.seconds, 3),
            "notes": list(self.notes),
            "error": self.error,
        }


class FileProgress(NamedTuple):
    """How far a batch has come: the file being restored, and how many of how many are done, parts included."""

    name: str
    done: float
    total: int


def plan_jobs(sources: Sequence[Path], output: Path | None) -> list[Job]:
    """Decide where every result goes.

    Args:
        sources: the files.
        output: a file for a single source; a folder for any number; None for a file beside each source
            ("photo.jpg" becomes "photo-restored.jpg").

    Raises:
        UsageError: several sources and one output file, or two sources with one target.
        PellucidError: a target would replace one of the sources.
    """
    if output is None:
        targets = [source.parent / f"{source.stem}-restored{source.suffix}" for source in sources]
    elif output.is_dir():
        targets = [output / (source.name or "restored") for source in sources]
    elif len(sources) == 1:
        targets = [output]
    else:
        raise UsageError(f"{output} is not a folder; several pictures need one to go to")
    seen: dict[str, Path] = {}
    originals = {os.path.realpath(source) for source in sources}
    for source, target in zip(sources, targets, strict=True):
        place = os.path.realpath(target)
        if place in originals:
            raise PellucidError(f"{target} is an original, which is never replaced; choose another output")
        if place in seen:
            raise UsageError(f"{seen[place]} and {source} would both become {target}")
        seen[place] = source
    return [Job(source=source, target=target) for source, target in zip(sources, targets, strict=True)]


def restore_files(
    restorer: Restorer,
    jobs: Sequence[Job],
    *,
    overwrite: bool,
    report: Callable[[FileProgress], None] = lambda _: None,
    say: Callable[[Job, str], None] = lambda _, __: None,
) -> Iterator[Outcome]:
    """Restore files one after another; a failure is an outcome, and the others go on.

    Args:
        restorer: the network and its options.
        jobs: from `plan_jobs`.
        overwrite: replace targets that exist.
        report: called as the work proceeds.
        say: called with every note once, as soon as it is known: what reading changes and the result's format cannot
            hold before the work on a file begins.
    """
    for index, job in enumerate(jobs):

        def report_share(share: float, name: str = job.source.name, index: int = index) -> None:
            report(FileProgress(name, index + share, len(jobs)))

        notes: dict[str, None] = {}  # a set that keeps the order

        def note(sentences: Iterable[str], job: Job = job, notes: dict[str, None] = notes) -> None:
            for sentence in sentences:
                if sentence not in notes:
                    notes[sentence] = None
                    say(job, sentence)

        started = time.monotonic()
        report_share(0.0)
        try:
            header = read_header(job.source)
            note((*header.notes, *_refuse_early(job, header, overwrite)))
            restorer.check(header, held=bytes_to_write(header, job.target.suffix))
            pages = _restored(restorer, job, header.pages, report_share, note)
            note(write_pages(pages, job.target, overwrite=overwrite))
            yield Outcome(job=job, header=header, seconds=time.monotonic() - started, notes=tuple(notes))
        except PellucidError as error:
            named = str(job.source) in str(error) or str(job.target) in str(error)
            yield Outcome(job=job, error=str(error) if named else f"{job.source}: {error}")


def _restored(
    restorer: Restorer,
    job: Job,
    count: int,
    report: Callable[[float], None],
    note: Callable[[Iterable[str]], None],
) -> Iterator[PictureStream]:
    """The pages of a file, each restored by itself when it is asked for."""
    for index, page in enumerate(open_pages(job.source)):
        note((*page.notes, *unsupported(page, job.target.suffix)))
        held = bytes_to_write(page, job.target.suffix)
        yield restorer.restored(page, lambda share, index=index: report((index + share) / count), held=held)


def _refuse_early(job: Job, header: PictureHeader, overwrite: bool) -> tuple[str, ...]:
    """Find before the work what would make writing fail after it; returns what the result's format cannot hold."""
    sentences = unsupported(header, job.target.suffix)
    folder = job.target.parent
    try:
        os.lstat(job.target)
        exists = True
    except FileNotFoundError:
        exists = False
    except OSError as error:
        raise PellucidError(f"cannot write {job.target}: {error.strerror}") from error
    if not folder.is_dir():
        raise PellucidError(f"cannot write {job.target}: the folder {folder} does not exist; create it first")
    if not os.access(folder, os.W_OK):
        raise PellucidError(f"cannot write {job.target}: the folder {folder} may not be written to")
    if job.target.is_dir():
        raise PellucidError(f"cannot write {job.target}: it is a folder")
    if os.path.islink(os.path.realpath(job.target)):
        raise PellucidError(f"cannot write {job.target}: it is a link that leads back to itself")
    if exists and not overwrite:
        raise PellucidError(f"{job.target} exists; pass --overwrite to replace it")
    return sentences
