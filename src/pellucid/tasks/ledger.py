"""What a batch has made: a line of JSON for each result, so that the same batch run again does only what is left.

The line is written, and forced to the disk, when a result is whole and about to move into place: "hash H is about to be
placed at T". A picture is done if its target has the hash that such a line announces. So wherever a batch is killed, a
result that is in place is known as ours by its content, and whatever else lies there is somebody's own file.
"""

import errno
import hashlib
import json
import os
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from pellucid.errors import PellucidError

# Hidden, so that a folder of pictures stays one to viewers, to `*` and to people.
LEDGER_NAME = ".pellucid-ledger.jsonl"

# Bytes far beyond the end of any ledger, which are locked instead of its contents.
_APPENDING, _FIRST_CLAIM = 2**61, 2**32


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A result: its and its source's path, relative to the ledger's folder, and SHA-256; and what else decided it."""

    target: str
    target_sha256: str
    source: str
    source_sha256: str
    settings: Mapping[str, object]
    time: str


class Ledger:
    """The ledger in a folder of results, shared by all processes that work into it.

    Raises:
        PellucidError: from every method, when the system refuses to read or write it.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LEDGER_NAME
        self._entries: dict[str, list[Entry]] = {}
        self._bytes_read = 0
        self._number = -1  # of the open file, inside `claim`

    def read(self) -> None:
        """Read what has been added since the last time; there need not be a ledger yet. Not to be called in `claim`."""
        with self._sentences(), suppress(FileNotFoundError, NotADirectoryError):
            number = os.open(self.path, os.O_RDONLY)
            try:
                self._read_on(number)
            finally:
                os.close(number)

    def names(self, target: Path) -> bool:
        """Whether any line is about this target."""
        return self._key(target) in self._entries

    def is_done(self, target: Path, source_sha256: str, settings: Mapping[str, object]) -> bool:
        """Whether the target is in place and is the result of this source and these settings."""
        with self._sentences(), suppress(FileNotFoundError, IsADirectoryError):
            announced = self._announced(target, source_sha256, settings)
            return bool(announced) and sha256_of(target) in announced
        return False

    def left_empty(self, target: Path, source_sha256: str, settings: Mapping[str, object]) -> bool:
        """Whether the target is the empty file with which a killed process claimed the name of this very result.

        Only file systems without hard links need such claims.
        """
        with suppress(OSError):
            return target.stat().st_size == 0 and bool(self._announced(target, source_sha256, settings))
        return False

    @contextmanager
    def claim(self, target: Path, *, wait: bool) -> Generator[bool, None, None]:
        """Keep other processes off a target, and read what they have added.

        Yields False if one is at work on it and `wait` is not asked. However the process ends, so does its claim.
        """
        with self._sentences():
            self._number = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            with self._sentences():
                held = _lock_byte(self._number, _FIRST_CLAIM + _spread(self._key(target)), wait=wait)
                self._read_on(self._number)
            yield held
        finally:
            os.close(self._number)

    def announce(
        self, target: Path, whole: Path, *, source: Path, source_sha256: str, settings: Mapping[str, object]
    ) -> None:
        """Say, durably, that the file `whole` is about to become the target, which is claimed."""
        with self._sentences():
            entry = Entry(
                target=self._key(target),
                target_sha256=sha256_of(whole),
                source=Path(os.path.relpath(source, self.path.parent)).as_posix(),
                source_sha256=source_sha256,
                settings=settings,
                time=datetime.now(UTC).isoformat(timespec="seconds"),
            )
            _lock_byte(self._number, _APPENDING, wait=True)  # until the claim ends, which is soon
            size = os.fstat(self._number).st_size
            # A line torn by a kill or a full disk stays by itself.
            start = b"\n" if size and os.pread(self._number, 1, size - 1) != b"\n" else b""
            line = start + json.dumps(asdict(entry)).encode() + b"\n"
            if os.write(self._number, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._number)

    def _announced(self, target: Path, source_sha256: str, settings: Mapping[str, object]) -> set[str]:
        return {
            entry.target_sha256
            for entry in self._entries.get(self._key(target), ())
            if entry.source_sha256 == source_sha256 and entry.settings == settings
        }

    def _read_on(self, number: int) -> None:
        size = os.fstat(number).st_size
        if size < self._bytes_read:  # somebody began it anew
            self._entries, self._bytes_read = {}, 0
        lines = os.pread(number, size - self._bytes_read, self._bytes_read)
        lines = lines[: lines.rfind(b"\n") + 1]  # the last one may still be being written
        self._bytes_read += len(lines)
        for line in lines.splitlines():
            # Torn or foreign lines say nothing: what they may have meant is done again.
            with suppress(ValueError, KeyError, TypeError):
                row = json.loads(line)
                entry = Entry(**{name: row[name] for name in Entry.__dataclass_fields__})
                self._entries.setdefault(entry.target, []).append(entry)

    def _key(self, target: Path) -> str:
        return target.relative_to(self.path.parent).as_posix()

    @contextmanager
    def _sentences(self) -> Generator[None, None, None]:
        try:
            yield
        except OSError as error:
            path = error.filename if isinstance(error.filename, str) else self.path
            raise PellucidError(f"cannot keep {path}: {error.strerror}") from error


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's contents."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _spread(key: str) -> int:
    """A number below 2⁵⁶ that no two names share, but by a chance too small to matter."""
    return int.from_bytes(hashlib.sha256(key.encode(errors="surrogateescape")).digest()[:7])


def _lock_byte(number: int, byte: int, *, wait: bool) -> bool:
    """Lock a byte of an open file until this process closes the file; False if another process has it.

    True as well where there are no locks: two processes then do the same work, and each result still appears whole.
    """
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        # Not flock: it would lock the whole ledger, and network file systems share these locks between machines.
        fcntl.lockf(number, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
    except OSError as error:
        return error.errno not in (errno.EACCES, errno.EAGAIN)
    return True
