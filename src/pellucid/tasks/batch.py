"""Restoring files, one after another: what is refused before work starts, what is done already, what is said after."""

import hashlib
import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

from pellucid.errors import PellucidError
from pellucid.files import remove_abandoned
from pellucid.images import (
    PictureHeader,
    PictureStream,
    bytes_to_write,
    open_pages,
    read_header,
    unsupported,
    write_pages,
)
from pellucid.tasks.account import Account
from pellucid.tasks.comparing import lacks_comparison, refuse_comparison
from pellucid.tasks.ledger import Ledger, sha256_of
from pellucid.tasks.plan import Job, refuse_early
from pellucid.tasks.restore import Restorer

Announced = TypeVar("Announced", PictureHeader, PictureStream)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a job.

    Attributes:
        job: what was to be done.
        status: what became of it.
        header: of the source, if the result is there.
        seconds: that it took.
        notes: what had to change.
        provenance: how the result was made.
        error: what failed: the job, or, where it is restored, the comparison beside its result.
    """

    job: Job
    status: Literal["restored", "done already", "failed"]
    header: PictureHeader | None = None
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    provenance: Mapping[str, str] | None = None
    error: str | None = None

    def as_dict(self) -> dict[str, object]:
        """Return the outcome as plain values, for JSON."""
        return {
            "source": str(self.job.source),
            "target": None if self.status == "failed" else str(self.job.target),
            "status": self.status,
            "picture": asdict(self.header) if self.header else None,
            "seconds": round(self.seconds, 3),
            "notes": list(self.notes),
            "provenance": dict(self.provenance) if self.provenance else None,
            "error": self.error,
        }


class FileProgress(NamedTuple):
    """How far a batch has come, parts of files included.

    Attributes:
        name: the file that is being looked at or restored.
        files_done: how many files need no more work.
        files: how many there are.
        failed: how many of those done failed.
        megapixels_done: of the files that are restored.
        megapixels: of these and those still to restore; 0 while the files are looked at.
    """

    name: str
    files_done: int
    files: int
    failed: int
    megapixels_done: float
    megapixels: float


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

    First every file is looked at: those that cannot be restored fail then, and those whose result the ledger knows and
    finds in place, made from the same source with the same settings, are done already. Stopped at any moment and run
    again, a batch ends with the same files. Several processes may work on one batch together.

    Args:
        restorer: the network and its options.
        jobs: from `plan_jobs`.
        overwrite: replace targets that exist, but for those that are done already.
        compare: show before and after in files beside each result; see `pellucid.tasks.comparing`.
        record: say in each result how it was made, where its format has a place for that.
        report: called as the work proceeds.
        say: called with every note once, as soon as it is known: what reading changes and the result's format cannot
            hold before the work on a file begins.
    """
    return _Batch(restorer, jobs, overwrite, compare, record, report, say).run()


class _Source(NamedTuple):
    """What a source was when it was read for its hash, which is None where no ledger asks for it."""

    stamp: tuple[int, ...]
    sha256: str | None


class _Task(NamedTuple):
    """A job that remains to be done."""

    job: Job
    megapixels: float


class _Batch:
    def __init__(
        self,
        restorer: Restorer,
        jobs: Sequence[Job],
        overwrite: bool,
        compare: bool,
        record: bool,
        report: Callable[[FileProgress], None],
        say: Callable[[Job, str], None],
    ) -> None:
        self._restorer, self._jobs, self._overwrite = restorer, jobs, overwrite
        self._compare, self._record = compare, record
        self._taken = {os.path.realpath(path) for job in jobs for path in (job.source, job.target)}
        self._report, self._say = report, say
        self._ledgers = {job.root: Ledger(job.root) for job in jobs if job.root is not None}
        self._settings: Mapping[str, object] = {**restorer.settings, "record": record} if self._ledgers else {}
        self._done = self._failed = 0
        self._megapixels_done = self._megapixels = 0.0

    def run(self) -> Iterator[Outcome]:
        for folder in {job.target.parent for job in self._jobs}:
            remove_abandoned(folder)
        todo: list[_Task] = []
        for job in self._jobs:
            self._show(job)
            found = self._look_at(job)
            if isinstance(found, Outcome):
                yield self._counted(found)
            else:
                todo.append(found)
        self._megapixels = sum(task.megapixels for task in todo)
        for wait in (False, True):  # what other processes are at work on comes last
            postponed: list[_Task] = []
            for task, source in _with_sources(todo):
                outcome = self._restore(task, source, wait=wait)
                if outcome is None:
                    postponed.append(task)
                    continue
                if outcome.status == "restored":
                    self._megapixels_done += task.megapixels
                else:
                    self._megapixels -= task.megapixels
                yield self._counted(outcome)
            todo = postponed

    def _counted(self, outcome: Outcome) -> Outcome:
        self._done += 1
        self._failed += outcome.status == "failed"
        self._show(outcome.job)
        return outcome

    def _show(self, job: Job, megapixels: float = 0.0) -> None:
        done = self._megapixels_done + megapixels
        self._report(FileProgress(job.source.name, self._done, len(self._jobs), self._failed, done, self._megapixels))

    def _look_at(self, job: Job) -> Outcome | _Task:
        """Settle what needs no work, and fail what cannot work."""
        try:
            with _sentences(job):
                # Before the ledger is read: a result that another process places meanwhile is no obstacle.
                exists = os.path.lexists(job.target)
                header, sha256 = read_header(job.source), None
                if job.root is not None:
                    self._ledgers[job.root].read()
                    if self._ledgers[job.root].names(job.target):
                        sha256 = sha256_of(job.source)
                if self._is_done(job, sha256):
                    return Outcome(job=job, status="done already", header=header)
                self._refuse(job, header, may_replace=not exists or self._may_replace(job, sha256))
                if self._compare:
                    refuse_comparison(job.target, self._taken, overwrite=self._overwrite)
                return _Task(job, header.width * header.height * header.pages / 1e6)
        except PellucidError as error:
            return Outcome(job=job, status="failed", error=str(error))

    def _restore(self, task: _Task, source: Future[_Source], *, wait: bool) -> Outcome | None:
        """Do the work; None, unless `wait` is asked, where another process is at it."""
        job, started = task.job, time.monotonic()
        notes: dict[str, None] = {}  # a set that keeps the order

        def note(sentences: Iterable[str]) -> None:
            for sentence in sentences:
                if sentence not in notes:
                    notes[sentence] = None
                    self._say(job, sentence)

        self._show(job)
        try:
            with _sentences(job), self._place_for(job, wait=wait) as is_free:
                if not is_free:
                    return None
                header, found = read_header(job.source), source.result()
                if _stamp(job.source.stat()) != found.stamp:  # it was read ahead, and has changed since
                    found = _read_source(job)
                if self._is_done(job, found.sha256):  # by another process, meanwhile
                    return Outcome(job=job, status="done already", header=header)
                may_replace = self._may_replace(job, found.sha256)
                note((*header.notes, *self._refuse(job, header, may_replace=may_replace)))
                account = Account(job.target, compare=self._compare, record=self._record)
                work = partial(self._show, job)
                pages = _restored(self._restorer, task, header.pages, account, work, note)
                announce = partial(self._announce, job, found)
                note(write_pages(pages, job.target, overwrite=may_replace, before_move=announce))
                seconds = time.monotonic() - started
                return Outcome(
                    job=job,
                    status="restored",
                    header=header,
                    seconds=seconds,
                    notes=tuple(notes),
                    provenance=account.provenance,
                    error=_saved(account, job, seconds, self._overwrite),
                )
        except PellucidError as error:
            return Outcome(job=job, status="failed", error=str(error))

    def _refuse(self, job: Job, header: PictureHeader, *, may_replace: bool) -> tuple[str, ...]:
        """Raise PellucidError for what cannot work; what the result's format cannot hold."""
        result = _result_of(self._restorer, header)
        sentences = refuse_early(job, result, may_replace=may_replace)
        self._restorer.check(header, held=bytes_to_write(result, job.target.suffix))
        return sentences

    def _is_done(self, job: Job, sha256: str | None) -> bool:
        """Whether the result is in place, and what was asked for beside it."""
        return self._is_in_place(job, sha256) and not (self._compare and lacks_comparison(job.target))

    def _is_in_place(self, job: Job, sha256: str | None) -> bool:
        if job.root is None or sha256 is None:
            return False
        return self._ledgers[job.root].is_done(job.target, sha256, self._settings)

    def _may_replace(self, job: Job, sha256: str | None) -> bool:
        """Whether what is in the result's place is ours, such as a result that is made again to be compared."""
        if self._overwrite or job.root is None or sha256 is None:
            return self._overwrite
        left_empty = self._ledgers[job.root].left_empty(job.target, sha256, self._settings)
        return left_empty or self._is_in_place(job, sha256)

    @contextmanager
    def _place_for(self, job: Job, *, wait: bool) -> Generator[bool, None, None]:
        """Make the target's folder ready, and keep other processes off the target; yields False if one is at it."""
        if job.root is None:
            yield True
            return
        job.target.parent.mkdir(parents=True, exist_ok=True)
        with self._ledgers[job.root].claim(job.target, wait=wait) as is_free:
            yield is_free

    def _announce(self, job: Job, source: _Source, whole: Path) -> None:
        """What must happen between a result's being whole and its moving into place."""
        with suppress(FileNotFoundError):  # a source that is gone has been read
            if _stamp(job.source.stat()) != source.stamp:
                raise PellucidError(f"{job.source} changed while it was being restored; run the command again")
        if job.root is not None and source.sha256 is not None:
            self._ledgers[job.root].announce(
                job.target, whole, source=job.source, source_sha256=source.sha256, settings=self._settings
            )


def _restored(
    restorer: Restorer,
    task: _Task,
    count: int,
    account: Account,
    report: Callable[[float], None],
    note: Callable[[Iterable[str]], None],
) -> Iterator[PictureStream]:
    """The pages of a file, each restored by itself when it is asked for; `report` takes megapixels."""
    suffix = task.job.target.suffix
    for index, page in enumerate(open_pages(task.job.source)):
        result = _result_of(restorer, page)
        note((*page.notes, *unsupported(result, suffix)))
        held = bytes_to_write(result, suffix) + account.start(result)
        restored = restorer.restored(
            page,
            lambda share, index=index: report((index + share) / count * task.megapixels),
            held=held,
            watch=account.add,
        )
        metadata, sentences = account.recorded(restored, restorer.provenance(page, held=held))
        note((*restored.notes, *sentences))
        yield replace(restored, metadata=metadata)


def _result_of(restorer: Restorer, picture: Announced) -> Announced:
    """What is known of a result before it is made: it is as the source but for its size."""
    return replace(picture, **restorer.result_size(picture)._asdict())


def _saved(account: Account, job: Job, seconds: float, overwrite: bool) -> str | None:
    """Write what goes beside a result; why that failed, if it did: the result itself stays."""
    try:
        account.save(job.source.name, seconds=seconds, overwrite=overwrite)
    except PellucidError as error:
        return f"{job.target} is restored, but not the files that compare it: {error}"
    return None


def _with_sources(todo: Sequence[_Task]) -> Iterator[tuple[_Task, Future[_Source]]]:
    """Each task with the hash of its source, which is taken while the one before is restored.

    That also brings the file into the system's memory. Headers are not read ahead: what keeps the codecs quiet is a
    setting of the whole process.
    """
    pool = ThreadPoolExecutor(1)
    try:
        sources = (pool.submit(_read_source, task.job) for task in todo)
        current = next(sources, None)
        for task in todo:
            following = next(sources, None)
            if current is not None:
                yield task, current
            current = following
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _read_source(job: Job) -> _Source:
    with job.source.open("rb") as file:
        stamp = _stamp(os.fstat(file.fileno()))
        return _Source(stamp, None if job.root is None else hashlib.file_digest(file, "sha256").hexdigest())


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


@contextmanager
def _sentences(job: Job) -> Generator[None, None, None]:
    """Whatever goes wrong with a file becomes a PellucidError that names it."""
    try:
        yield
    except PellucidError as error:
        if str(job.source) in str(error) or str(job.target) in str(error):
            raise
        raise PellucidError(f"{job.source}: {error}") from error
    except OSError as error:
        where = f"{error.filename}: " if error.filename not in (None, str(job.source)) else ""
        raise PellucidError(f"{job.source}: {where}{error.strerror or error}") from error
    except (MemoryError, RuntimeError) as error:  # torch raises the latter where memory is short, too
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise PellucidError(f"{job.source}: it could not be restored ({reason}); try a smaller --memory") from error
