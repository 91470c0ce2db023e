"""Settings of our own processes, which a library must not change behind a program's back."""

import ctypes
import os
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from threading import Thread

# from glibc's malloc.h
_M_MXFAST, _M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = 1, -1, -3, -8
_ARENAS = 8  # so that what is read and written lies apart from the tensors
_TUNABLES, _NO_CACHES = "GLIBC_TUNABLES", "glibc.malloc.tcache_count=0"


def keep_freed_memory() -> None:
    """Tell glibc to keep freed memory for the next large tensor instead of returning it to the system.

    Getting pages back one fault at a time costs as much as the arithmetic. Does nothing where there is no glibc.
    """
    libc = _glibc()
    if libc is None:
        return
    libc.mallopt(_M_MMAP_THRESHOLD, 2**30)
    libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    libc.mallopt(_M_ARENA_MAX, _ARENAS)  # or each of many threads would keep memory of its own
    libc.mallopt(_M_MXFAST, 0)  # see `ask_for_whole_blocks`


@cache
def lay_in_small_blocks() -> None:
    """Leave small blocks free, so that what is small takes no scraps; for when all modules and weights are loaded.

    See `ask_for_whole_blocks`; takes about 12 MB once.
    """
    libc = _glibc()
    if libc is None:
        return
    libc.malloc.argtypes, libc.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]
    blocks: list[int | None] = []
    for size in range(24, 1024, 16):  # glibc's blocks are multiples of 16, of which 8 bytes are its own
        for _ in range(2000 if size < 256 else 200):
            blocks.append(libc.malloc(size))
            libc.malloc(24)  # stays, or the free blocks would join
    for block in blocks:
        libc.free(block)


def ask_for_whole_blocks() -> bool:
    """Ask glibc, in the environment of programs started from now on, to keep no caches of small blocks.

    Torch wants memory at multiples of 64 bytes. Glibc before 2.39 cuts that out of a longer block and caches the scraps
    before and after it. What is then given a scrap, and lives longer than the tensor, keeps the block from ever being
    whole again: the next tensor of that size does not fit, and the heap grows, by up to twice what is in use, and in no
    two runs alike. The caches of threads can only be turned off from outside.

    Returns whether this program itself was started without asking; False where there is no glibc.
    """
    asked = os.environ.get(_TUNABLES, "")
    if _NO_CACHES in asked.split(":") or _glibc() is None:
        return False
    os.environ[_TUNABLES] = ":".join(filter(None, (asked, _NO_CACHES)))
    return True


def start_again() -> None:
    """Replace this program by itself, with the environment as it is now; goes on where the system refuses."""
    with suppress(OSError):
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    try:
        libc = ctypes.CDLL("libc.so.6")
        return libc if hasattr(libc, "mallopt") else None
    except OSError:
        return None


def peak_resident_bytes() -> int:
    """Return the most memory that this process has had resident since it started its program."""
    if sys.platform == "linux":
        # The system call counts the program from which this one was started as well; this line does not.
        line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource  # only Unix has it

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@contextmanager
def second_interrupt_kills() -> Generator[None, None, None]:
    """Let a second Ctrl-C end the process at once; the first raises KeyboardInterrupt, as always.

    Python acts on signals between its own instructions only, and restoring a tile is a single one that may take a
    minute. The system's part of a signal's arrival, a byte in a pipe, does not wait.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    def watch() -> None:
        interrupts = 0
        while arrived := os.read(reader, 1):
            interrupts += arrived[0] == signal.SIGINT
            if interrupts == 1:
                print("stopping; press Ctrl-C again to stop at once", file=sys.stderr)  # noqa: T201
            elif interrupts == 2:
                os._exit(130)

    watcher = Thread(target=watch, daemon=True)
    before = signal.set_wakeup_fd(writer)
    watcher.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(writer)
        watcher.join()
        os.close(reader)
