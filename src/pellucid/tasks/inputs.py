"""Which pictures are meant: files, folders and patterns, without what is no picture or was made by us."""

import glob
import os
import re
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from pellucid.errors import PellucidError, PictureError
from pellucid.images import FORMATS, is_picture
from pellucid.tasks.ledger import LEDGER_NAME, Ledger

RESTORED = "-restored"  # ends the names of results that lie beside their originals

Skip = Callable[["Skipped"], None]


class Skipped(NamedTuple):
    """A file, found in a folder or by a pattern, that is left alone, and why."""

    path: Path
    reason: str

    def as_dict(self) -> dict[str, object]:
        """Return it as plain values, with the names that an `Outcome` has."""
        nothing = dict.fromkeys(("target", "picture", "provenance", "error"))
        return {"source": str(self.path), "status": "skipped", "notes": [self.reason], "seconds": 0.0, **nothing}


class Source(NamedTuple):
    """A picture.

    Attributes:
        path: its file.
        base: the folder below which the results mirror the sources; None for a file that was named itself.
        folder: the folder that was named, for which its results get a folder of their own; None where none was.
    """

    path: Path
    base: Path | None = None
    folder: Path | None = None


def find_sources(inputs: Sequence[Path], *, recursive: bool, output: Path | None, skip: Skip) -> list[Source]:
    """List the pictures of files, folders and patterns: inputs as they come, what is found in them in natural order.

    Args:
        inputs: a file is taken as it is; a folder stands for the pictures in it; a pattern that names no file, such as
            "scans/**/*.tif", for the pictures that match it. One that nothing matches is taken as the name of a file.
        recursive: look into the folders in a folder as well. Links to folders are not followed.
        output: where results go; not looked into.
        skip: called with every other file that was found.

    Raises:
        PellucidError: a folder that was named, or the ledger in it, cannot be read.
    """
    named = {os.path.abspath(path) for path in inputs}
    ledgers: dict[Path, Ledger] = {}
    sources: list[Source] = []
    for path in inputs:
        if os.path.isdir(path):
            if not os.access(path, os.R_OK | os.X_OK):
                raise PellucidError(f"the folder {path} may not be looked into")
            found = [Source(file, path, path) for file in _files_below(path, recursive, output, skip)]
            sources += _pictures(found, skip)
        elif matching := _matching(path, output, skip):
            sources += _pictures(matching, skip)
        elif _original_of(path) in named and _is_in_ledger(path, ledgers):
            skip(Skipped(path, "a result of an earlier run"))  # what `*.png` finds the second time
        else:
            sources.append(Source(path))
    return sources


def _pictures(found: Sequence[Source], skip: Skip) -> Iterator[Source]:
    """Those that are pictures by their content and not results of ours; one that cannot be read is kept, to fail."""
    for source in found:
        path, original = source.path, _original_of(source.path)
        if path.name == LEDGER_NAME or (path.name.startswith(".pellucid-") and path.suffix == ".part"):
            continue
        if path.name.startswith("."):
            skip(Skipped(path, "hidden"))
        elif original is not None and os.path.isfile(original):
            skip(Skipped(path, "a result of an earlier run"))
        elif _is_junk(path):
            skip(Skipped(path, "not a picture of a known format"))
        elif path.suffix.lower() not in FORMATS:  # cameras' raw files start as TIFF does
            skip(Skipped(path, f"pictures are not written as {path.suffix or 'files without suffix'}"))
        else:
            yield source


def _is_junk(path: Path) -> bool:
    try:
        return not is_picture(path)
    except PictureError:
        return not os.path.isfile(path)  # a pipe, a device, a link to nowhere


def _original_of(path: Path) -> str | None:
    """The absolute path of the file or folder beside which this one would be the result."""
    if not path.stem.endswith(RESTORED):
        return None
    return os.path.abspath(path.with_name(path.stem.removesuffix(RESTORED) + path.suffix))


def _is_in_ledger(path: Path, ledgers: dict[Path, Ledger]) -> bool:
    """Whether the ledger beside a file knows it as a result."""
    if path.parent not in ledgers:
        ledgers[path.parent] = Ledger(path.parent)
        ledgers[path.parent].read()
    return ledgers[path.parent].names(path)


def _files_below(folder: Path, recursive: bool, output: Path | None, skip: Skip) -> Iterator[Path]:
    """Everything in a folder that is none, in natural order; then, if asked, the same of the folders in it."""
    try:
        entries = sorted((folder / name for name in os.listdir(folder)), key=_natural)
    except OSError as error:
        skip(Skipped(folder, f"it cannot be looked into ({error.strerror})"))
        return
    yield from (path for path in entries if not os.path.isdir(path))
    for path in entries if recursive else ():
        if not os.path.isdir(path) or (output is not None and os.path.realpath(path) == os.path.realpath(output)):
            continue
        original = _original_of(path)
        if os.path.islink(path):
            skip(Skipped(path, "a link to a folder"))
        elif path.name.startswith("."):
            skip(Skipped(path, "hidden"))
        elif original is not None and os.path.isdir(original):
            skip(Skipped(path, "a result of an earlier run"))
        else:
            yield from _files_below(path, recursive, output, skip)


def _matching(pattern: Path, output: Path | None, skip: Skip) -> list[Source]:
    """The files that match a pattern the shell has not expanded, below the part of it that is no pattern."""
    if not glob.has_magic(str(pattern)) or os.path.lexists(pattern):
        return []
    fixed = 0
    while not glob.has_magic(pattern.parts[fixed]):
        fixed += 1
    base, parts = Path(*pattern.parts[:fixed]), pattern.parts[fixed:]
    if "**" in parts:
        # Not glob.glob, which follows links to folders around in circles.
        below = _files_below(base, True, output, skip) if os.path.isdir(base) else ()
        files = [path for path in below if _matches(path.relative_to(base).parts, parts)]
    else:
        files = [path for path in map(Path, glob.glob(str(pattern))) if not os.path.isdir(path)]
        files.sort(key=_natural)
    return [Source(path, base) for path in files]


def _matches(names: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    """Whether a path matches a pattern part by part, where "**" stands for any number of folders."""
    if not pattern:
        return not names
    if pattern[0] == "**":
        return any(_matches(names[start:], pattern[1:] or ("*",)) for start in range(len(names)))
    return bool(names) and fnmatchcase(names[0], pattern[0]) and _matches(names[1:], pattern[1:])


def _natural(path: Path) -> list[tuple[list[str | int], str]]:
    """Sorts as people do: "2.png" before "10.png"."""
    runs = [re.split(r"([0-9]+)", part.casefold()) for part in path.parts]  # text, digits, text, …
    numbered = ([int(run) if i % 2 else run for i, run in enumerate(part)] for part in runs)
    return list(zip(numbered, path.parts, strict=True))
