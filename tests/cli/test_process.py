"""Settings of whole processes, each tried in one of its own."""

import os
import platform
import subprocess
import sys

import pytest

from pellucid.cli import process
from pellucid.cli.process import ask_for_whole_blocks

TUNABLES, NO_CACHES = "GLIBC_TUNABLES", "glibc.malloc.tcache_count=0"
PROGRAM = """
import os, sys
from pellucid import cli

cli.main = lambda: print(os.getpid(), os.environ["GLIBC_TUNABLES"], *sys.argv[1:])
cli.program()
"""
BLOCKS = """
import ctypes
from pellucid.cli.process import ask_for_whole_blocks, keep_freed_memory, lay_in_small_blocks, start_again

if ask_for_whole_blocks():
    start_again()
keep_freed_memory()
libc = ctypes.CDLL("libc.so.6")
libc.sbrk.restype = libc.aligned_alloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
lay_in_small_blocks()
blocks = []
for turn in range(2):
    for _ in range(16):
        blocks.append(libc.aligned_alloc(64, 2**22))
        for size in range(16, 1024, 8):
            libc.malloc(size)  # lives on
    if turn == 0:
        print(libc.sbrk(0))
        while blocks:
            libc.free(blocks.pop())
print(libc.sbrk(0))
"""

WITH_GLIBC = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="this Python runs on no glibc to be set")


@WITH_GLIBC
@pytest.mark.parametrize("before", ["", "glibc.malloc.perturb=0"])
def test_asking_for_whole_blocks(monkeypatch, before):
    monkeypatch.setenv(TUNABLES, before)
    assert ask_for_whole_blocks()
    assert os.environ[TUNABLES] == (f"{before}:{NO_CACHES}" if before else NO_CACHES)
    assert not ask_for_whole_blocks()


def test_nothing_is_asked_where_there_is_no_glibc(monkeypatch):
    monkeypatch.setenv(TUNABLES, "")
    monkeypatch.setattr(process, "_glibc", lambda: None)
    assert not ask_for_whole_blocks()
    assert os.environ[TUNABLES] == ""


@WITH_GLIBC
def test_a_program_starts_again_once_and_stays_the_same_process():
    environment = {name: value for name, value in os.environ.items() if name != TUNABLES}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "a b", "--c"], stdout=subprocess.PIPE, text=True, env=environment
    ) as started:
        output, _ = started.communicate()
    assert output == f"{started.pid} {NO_CACHES} a b --c\n"


@WITH_GLIBC
def test_small_things_take_nothing_from_large_blocks():
    """After large blocks are freed that lie apart, as many as before fit in their place."""
    done = subprocess.run([sys.executable, "-c", BLOCKS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    before, after = map(int, done.stdout.split())
    assert after == before
