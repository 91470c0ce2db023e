"""Settings of whole processes, each tried in one of its own."""

import os
import subprocess
import sys

import pytest

from pellucid.cli.process import ask_for_whole_blocks

TUNABLES, NO_CACHES = "GLIBC_TUNABLES", "glibc.malloc.tcache_count=0"
PROGRAM = """
import os, sys
from pellucid import cli

cli.main = lambda: print(os.getpid(), os.environ["GLIBC_TUNABLES"], *sys.argv[1:])
cli.program()
"""

pytestmark = pytest.mark.skipif(
    "CS_GNU_LIBC_VERSION" not in getattr(os, "confstr_names", {}), reason="only glibc has these settings"
)


@pytest.mark.parametrize("before", ["", "glibc.malloc.perturb=0"])
def test_asking_for_whole_blocks(monkeypatch, before):
    monkeypatch.setenv(TUNABLES, before)
    assert ask_for_whole_blocks()
    assert os.environ[TUNABLES] == (f"{before}:{NO_CACHES}" if before else NO_CACHES)
    assert not ask_for_whole_blocks()


def test_nothing_is_asked_where_there_is_no_glibc(monkeypatch):
    def refuse(_):
        raise ValueError

    monkeypatch.setenv(TUNABLES, "")
    monkeypatch.setattr(os, "confstr", refuse)
    assert not ask_for_whole_blocks()
    assert os.environ[TUNABLES] == ""


def test_a_program_starts_again_once_and_stays_the_same_process():
    environment = {name: value for name, value in os.environ.items() if name != TUNABLES}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "a b", "--c"], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        output, _ = process.communicate()
    assert output == f"{process.pid} {NO_CACHES} a b --c\n"
