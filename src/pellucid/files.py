"""Writing files so that they appear whole or not at all."""

import errno
import os
import re
import secrets
import stat
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from pellucid.errors import PellucidError

# What os.link answers where the file system has no hard links (FAT, many network and phone mounts).
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV, errno.EINVAL}
_TEMPORARY = re.compile(r"\.pellucid-[0-9a-f]{16}\.part")


@contextmanager
def atomic_path(
    path: Path, *, overwrite: bool, before_move: Callable[[Path], None] = lambda _: None
) -> Generator[Path, None, None]:
    """Yield a temporary path beside `path`, moved into place when the block succeeds and removed when it fails.

    The permission bits are those a plain `open(path, "w")` would leave, and a symbolic link is written through.
    `before_move` is called with the temporary path when the file is whole and on the disk; what it raises passes
    through, and nothing is moved. Raises PellucidError when `path` exists (unless `overwrite`; also when it appears
    meanwhile), or when the system refuses the writing: missing or read-only directory, full disk.
    """
    try:
        target = _target(path, overwrite=overwrite)
        temporary, number = _create_temporary(target.parent)
    except (OSError, ValueError) as error:
        raise _refusal(path, error) from error
    try:
        yield temporary
        _flush(temporary)
        before_move(temporary)
        if overwrite:
            _keep_mode(target, temporary)
            os.replace(temporary, target)
        else:
            _move_without_clobbering(temporary, target)
    except OSError as error:
        raise _refusal(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink()
        os.close(number)


def remove_abandoned(folder: Path) -> None:
    """Remove the temporary files that killed processes left in a folder; those still being written are locked."""
    names: list[str] = []
    with suppress(OSError):
        names = [name for name in os.listdir(folder) if _TEMPORARY.fullmatch(name)]
    for name in names:
        with suppress(OSError):
            number = os.open(folder / name, os.O_RDONLY)
            try:
                _lock(number, wait=False)
                os.unlink(folder / name)
            finally:
                os.close(number)


def _create_temporary(folder: Path) -> tuple[Path, int]:
    """An empty file and its number, which holds the lock that says that somebody is at work on it."""
    while True:
        # Short, and not derived from the target's name, so that a 255-byte name has a temporary too.
        path = folder / f".pellucid-{secrets.token_hex(8)}.part"
        number = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        with suppress(OSError):  # where there are no locks, nothing is ever taken for abandoned
            _lock(number, wait=True)
        if os.fstat(number).st_nlink:
            return path, number
        os.close(number)  # it was taken for abandoned before it was locked


def _lock(number: int, *, wait: bool) -> None:
    """Lock an open file until it is closed, however its process ends.

    Raises OSError where another process has it and `wait` is not asked, and where there are no locks.
    """
    if sys.platform == "win32":
        raise OSError(errno.ENOTSUP, "no locks")
    import fcntl

    # Not lockf: its locks are lost as soon as a codec opens the file and closes it again.
    fcntl.flock(number, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)


def _target(path: Path, *, overwrite: bool) -> Path:
    """The real file to write, links followed; raises OSError where it must not be written."""
    if not overwrite and os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, "exists")
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "it is a directory")
    return target


def _flush(path: Path) -> None:
    """Force the contents to the disk, so that a power cut after the move cannot leave an empty file."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def _keep_mode(target: Path, temporary: Path) -> None:
    """Give `temporary` the permission bits of the file it replaces, if there is one."""
    with suppress(FileNotFoundError):
        temporary.chmod(stat.S_IMODE(target.stat().st_mode))


def _move_without_clobbering(temporary: Path, target: Path) -> None:
    """Move to `target`; raises FileExistsError, atomically, if something is there."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # An exclusive creation claims the name just as safely; the claim is then replaced by the whole file.
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        try:
            os.replace(temporary, target)
        except BaseException:
            target.unlink()
            raise


def _refusal(path: Path, error: OSError | ValueError) -> PellucidError:
    """The sentence for `error`."""
    if isinstance(error, FileExistsError):
        return PellucidError(f"{path} exists; pass --overwrite to replace it")
    if isinstance(error, FileNotFoundError):
        return PellucidError(f"cannot write {path}: the directory {path.parent} does not exist; create it first")
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return PellucidError(f"cannot write {path}: {reason}")
