"""Restoring files: where results go, what is refused before work starts, what is said afterwards."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

from pellucid.errors import PellucidError, UsageError
from pellucid.images import Picture, PictureHeader, read_header, read_pages, unsupported, write_pages
from pellucid.tasks.account import Account
from pellucid.tasks.comparing import refuse_comparison
from pellucid.tasks.restore import Restorer

_ROWS = 64  # compared at a time


@dataclass(frozen=True, kw_only=True)
class Job:
    """One file to restore and where the result goes."""

    source: Path
    target: Path


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a job.

    Attributes:
        job: what was to be done.
        header: of the source, if the result was written.
        seconds: that it took.
        notes: what had to change.
        provenance: how the result was made.
        error: what failed: the job, or, where there is a header, the comparison beside its result.
    """

    job: Job
    header: PictureHeader | None = None
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    provenance: Mapping[str, str] | None = None
    error: str | None = None

    def as_dict(self) -> dict[str, object]:
        """Return the outcome as plain values, for JSON."""
        return {
            "source": str(self.job.source),
            "target": str(self.job.target) if self.header else None,
            "picture": asdict(self.header) if self.header else None,
            "seconds": round(self.seconds, 3),
            "notes": list(self.notes),
            "provenance": dict(self.provenance) if self.provenance else None,
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
    compare: bool = False,
    record: bool = True,
    report: Callable[[FileProgress], None] = lambda _: None,
    say: Callable[[Job, str], None] = lambda _, __: None,
) -> Iterator[Outcome]:
    """Restore files one after another; a failure is an outcome, and the others go on.

    Args:
        restorer: the network and its options.
        jobs: from `plan_jobs`.
        overwrite: replace targets that exist.
        compare: show before and after in files beside each result; see `pellucid.tasks.comparing`.
        record: say in each result how it was made, where its format has a place for that.
        report: called as the work proceeds.
        say: called with every note once, as soon as it is known: what reading changes and the result's format cannot
            hold before the work on a file begins.
    """
    taken = {os.path.realpath(path) for job in jobs for path in (job.source, job.target)}
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
            restorer.check(header)
            if compare:
                refuse_comparison(job.target, taken, overwrite=overwrite)
            account = Account(job.target, compare=compare, record=record)
            pages = _restored(restorer, job, header.pages, account, report_share, note)
            note(write_pages(pages, job.target, overwrite=overwrite))
            seconds = time.monotonic() - started
            failure = _saved(account, job, seconds, overwrite)
            yield Outcome(
                job=job,
                header=header,
                seconds=seconds,
                notes=tuple(notes),
                provenance=account.provenance,
                error=failure,
            )
        except PellucidError as error:
            named = str(job.source) in str(error) or str(job.target) in str(error)
            yield Outcome(job=job, error=str(error) if named else f"{job.source}: {error}")


def _restored(
    restorer: Restorer,
    job: Job,
    count: int,
    account: Account,
    report: Callable[[float], None],
    note: Callable[[Iterable[str]], None],
) -> Iterator[Picture]:
    """The pages of a file, each restored by itself when it is asked for."""
    for index, picture in enumerate(read_pages(job.source)):
        note((*picture.notes, *unsupported(picture, job.target.suffix)))
        restored = restorer(picture, lambda share, index=index: report((index + share) / count))
        metadata, sentences = account.start(picture, restorer.provenance(picture))
        note(sentences)
        for rows in (slice(start, start + _ROWS) for start in range(0, picture.height, _ROWS)):
            account.add(_rows_of(picture, rows), _rows_of(restored, rows))
        yield replace(restored, metadata=metadata)


def _rows_of(picture: Picture, rows: slice) -> Picture:
    alpha = picture.alpha[rows] if picture.alpha is not None else None
    return replace(picture, pixels=picture.pixels[rows], alpha=alpha)


def _saved(account: Account, job: Job, seconds: float, overwrite: bool) -> str | None:
    """Write what goes beside a result; why that failed, if it did: the result itself stays."""
    try:
        account.save(job.source.name, seconds=seconds, overwrite=overwrite)
    except PellucidError as error:
        return f"{job.target} is restored, but not the files that compare it: {error}"
    return None


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
