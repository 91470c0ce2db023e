"""Where every result goes, and what could not be written there, decided before any work."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pellucid.errors import PellucidError, UsageError
from pellucid.images import FORMATS, PictureHeader, unsupported
from pellucid.tasks.inputs import RESTORED, Skip, Source, find_sources
from pellucid.tasks.ledger import LEDGER_NAME


@dataclass(frozen=True, kw_only=True)
class Job:
    """One file to restore and where the result goes.

    Attributes:
        source: the file.
        target: its result.
        root: where a batch keeps the ledger of its results, a folder above the target; it and those between are made
            when needed. None for a single file, which goes to a folder that exists.
    """

    source: Path
    target: Path
    root: Path | None = None


def plan_jobs(
    inputs: Sequence[Path], output: Path | None, *, recursive: bool = False, skip: Skip = lambda _: None
) -> list[Job]:
    """Decide what is restored and where every result goes.

    Args:
        inputs: files, folders and patterns: see `find_sources`.
        output: a file for a single source; a folder for any number, made when it has no suffix and does not exist, in
            which what was found in folders and by patterns keeps its place; None for a file beside each source
            ("photo.jpg" becomes "photo-restored.jpg"), and for the pictures of a folder a folder beside it ("scans"
            becomes "scans-restored").
        recursive: take what lies in the folders in a folder as well.
        skip: called with every file that was found and is left alone.

    Raises:
        UsageError: several sources and one output file, or two sources with one target.
        PellucidError: a target would replace one of the sources, or there is no picture at all.
    """
    sources = find_sources(inputs, recursive=recursive, output=output, skip=skip)
    if inputs and not sources:
        raise PellucidError(f"there is no picture to restore in {', '.join(map(str, inputs))}")
    together = len(sources) > 1 or any(source.base is not None for source in sources)
    if output is None:
        jobs = [_beside(source, together) for source in sources]
    elif output.is_dir() or _names_a_new_folder(output, together):
        # A folder that was made for results keeps account of them, also when a pattern of the shell found one picture.
        is_ours = not output.is_dir() or os.path.lexists(output / LEDGER_NAME)
        root = output if together or is_ours else None
        jobs = [Job(source=source.path, target=output / _place(source), root=root) for source in sources]
    elif len(sources) == 1 and sources[0].folder is None:
        jobs = [Job(source=sources[0].path, target=output)]
    else:
        raise UsageError(f"{output} is not a folder; several pictures need one to go to")
    jobs = list(dict.fromkeys(jobs))  # a file may have been named twice
    _refuse_collisions(jobs)
    return jobs


def _names_a_new_folder(output: Path, together: bool) -> bool:
    """Whether this, which does not exist, can only be a folder; of a single result, "clean.gif" is a slip instead."""
    is_no_file = output.suffix.lower() not in FORMATS if together else not output.suffix
    return is_no_file and not os.path.lexists(output)


def refuse_early(job: Job, header: PictureHeader, *, may_replace: bool) -> tuple[str, ...]:
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
    if job.root is not None:
        while not os.path.lexists(folder):  # it will be made
            folder = folder.parent
    if not folder.is_dir():
        if job.root is not None:
            raise PellucidError(f"cannot write {job.target}: {folder} is not a folder")
        raise PellucidError(f"cannot write {job.target}: the folder {folder} does not exist; create it first")
    if not os.access(folder, os.W_OK):
        raise PellucidError(f"cannot write {job.target}: the folder {folder} may not be written to")
    if job.target.is_dir():
        raise PellucidError(f"cannot write {job.target}: it is a folder")
    if os.path.islink(os.path.realpath(job.target)):
        raise PellucidError(f"cannot write {job.target}: it is a link that leads back to itself")
    if exists and not may_replace:
        raise PellucidError(f"{job.target} exists; pass --overwrite to replace it")
    return sentences


def _beside(source: Source, together: bool) -> Job:
    """The job whose result lies beside the file, or in a folder beside the folder that was named."""
    path, folder = source.path, source.folder
    if folder is None:
        target = path.parent / f"{path.stem}{RESTORED}{path.suffix}"
        return Job(source=path, target=target, root=path.parent if together else None)
    named = folder if folder.name else Path(os.path.abspath(folder))  # "." has no name
    if named.name in ("", ".."):
        raise UsageError(f"the pictures in {folder} need a folder to go to; name one with -o")
    root = named.with_name(named.name + RESTORED)
    return Job(source=path, target=root / _place(source), root=root)


def _place(source: Source) -> Path:
    """Where in the folder of results the result lies."""
    if source.base is not None:
        return source.path.relative_to(source.base)
    return Path(source.path.name or "restored")


def _refuse_collisions(jobs: Sequence[Job]) -> None:
    seen: dict[str, Path] = {}
    originals = {os.path.realpath(job.source) for job in jobs}
    for job in jobs:
        place = os.path.realpath(job.target)
        if place in originals:
            raise PellucidError(f"{job.target} is an original, which is never replaced; choose another output")
        if place in seen:
            raise UsageError(f"{seen[place]} and {job.source} would both become {job.target}")
        seen[place] = job.source
