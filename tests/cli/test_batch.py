"""`pellucid restore` with many files: what is said, what is counted, and how it stops."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from little import little_picture
from pellucid.cli import batch
from pellucid.images import read_picture

PROGRAM = [sys.executable, "-m", "pellucid", "restore"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder "in" of three pictures and of junk, in the folder where commands are given."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in" / "below").mkdir(parents=True)
    for seed, name in enumerate(("2.png", "10.png", "below/a.png")):
        little_picture(seed=seed).save(tmp_path / "in" / name)
    (tmp_path / "in" / "Thumbs.db").write_bytes(b"junk")
    return tmp_path


def results(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("[!.]*") if path.is_file())


def test_folder(restore, folder):
    result = restore("in")
    assert result.code == 0
    assert [line.split(":")[0] for line in result.out.splitlines()] == ["in-restored/2.png", "in-restored/10.png"]
    assert result.err.splitlines() == ["skipped, not a picture of a known format: in/Thumbs.db", "2 restored"]
    again = restore("in", "--recursive")
    assert again.code == 0
    assert again.out.splitlines()[:2] == ["in-restored/2.png: done already", "in-restored/10.png: done already"]
    assert again.err.splitlines()[-1] == "1 restored, 2 done already"
    assert results(folder / "in-restored") == ["10.png", "2.png", "below/a.png"]


def test_pattern_that_the_shell_has_left(restore, folder):
    assert restore("in/**/*.png", "-o", "out").code == 0
    assert results(folder / "out") == ["10.png", "2.png", "below/a.png"]


@pytest.mark.usefixtures("folder")
def test_failures_are_listed_at_the_end(restore):
    Path("in/bad.png").write_bytes(b"\x89PNG\r\n\x1a\nnonsense")
    result = restore("in", "gone.png", "-o", "out")
    assert result.code == 1
    _, counts, *failures = result.err.splitlines()
    assert counts == "2 restored, 2 failed"
    assert [failure.split(":")[:2] for failure in failures] == [["pellucid", " in/bad.png"], ["pellucid", " gone.png"]]


@pytest.mark.usefixtures("folder")
def test_many_that_are_skipped_are_counted(restore):
    for number in range(9):
        Path(f"in/{number}.txt").write_text("words")
    line = restore("in").err.splitlines()[0]
    assert line.endswith("in/0.txt, in/1.txt, in/2.txt, in/3.txt, in/4.txt and 5 more")


@pytest.mark.usefixtures("folder")
def test_skipped_files_are_named_where_nothing_is_left(restore):
    Path("junk").mkdir()
    Path("in/Thumbs.db").rename("junk/Thumbs.db")
    result = restore("junk")
    assert result.code == 1
    assert result.err.splitlines() == [
        "skipped, not a picture of a known format: junk/Thumbs.db",
        "pellucid: there is no picture to restore in junk",
    ]


@pytest.mark.usefixtures("folder")
def test_json_is_a_line_for_each_file_and_nothing_else(restore):
    restore("in/2.png", "-o", "out")
    for name in ("bad.png", "odd.png"):
        Path(f"in/{name}").write_bytes(b"\x89PNG\r\n\x1a\nnonsense")
    result = restore("in", "-o", "out", "--json")
    assert (result.code, result.err) == (1, "")
    assert {(row["source"], row["status"]) for row in result.rows} == {
        ("in/Thumbs.db", "skipped"),
        ("in/bad.png", "failed"),
        ("in/odd.png", "failed"),
        ("in/2.png", "done already"),
        ("in/10.png", "restored"),
    }
    assert len({frozenset(row) for row in result.rows}) == 1, "the same names in every line"
    again = {row["source"]: row["status"] for row in restore("in", "-o", "out", "--json").rows}
    assert again["in/2.png"] == again["in/10.png"] == "done already"


@pytest.mark.usefixtures("folder")
def test_name_that_is_no_text(restore):
    os.rename(b"in/2.png", b"in/\xe9.png")
    result = restore("in")
    assert result.code == 0, result.err
    assert "in-restored/\N{REPLACEMENT CHARACTER}.png" in result.out
    rows = restore("in", "--json").rows
    assert os.fsencode(next(row["source"] for row in rows if "\udce9" in row["source"])) == b"in/\xe9.png"


@pytest.mark.usefixtures("folder")
def test_progress_without_a_terminal_is_a_line_now_and_then(restore, monkeypatch):
    assert "of 2 files" not in restore("in", "-o", "1").err
    monkeypatch.setattr(batch, "_SECONDS_BETWEEN_LINES", 0.0)
    lines = restore("in", "gone.png", "-o", "2").err.splitlines()
    assert "gone.png: 2 of 3 files" not in lines
    assert any(line.startswith("2.png: 1 of 3 files, 1 failed, 0.0 of 0.0 megapixels") for line in lines)
    assert restore("in", "-o", "3", "--json").err == ""


@pytest.mark.parametrize(("seconds", "words"), [(4.4, "4 s"), (600, "10 min"), (3600 * 2.25, "2.2 h")])
def test_durations(seconds, words):
    assert batch._duration(seconds) == words


@pytest.mark.usefixtures("folder")
def test_bar_on_a_terminal(restore, monkeypatch):
    """Names are names, not markup."""
    Path("in/2.png").rename("in/[bold]2.png")
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes it for a terminal
    monkeypatch.setenv("TERM", "xterm")
    shown = restore("in", "-o", "out").err
    assert "[bold]2.png" in shown
    assert "2 of 2 files, 0.0 of 0.0 megapixels, 0 s left" in shown
    assert shown.splitlines()[-1].endswith("2 restored")


def test_interrupt_stops_cleanly_and_the_same_command_goes_on(restore, weights, folder):
    for number in range(2):
        little_picture(1000, 1000, seed=number).save(folder / "in" / f"large{number}.png")
    command = [*PROGRAM, "in", "-o", "out", "--weights", str(weights), "--device", "cpu"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert "restored" in process.stdout.readline()
        assert "restored" in process.stdout.readline()
        time.sleep(0.2)  # in the midst of a tile
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    done = 2 + len(out.splitlines())
    assert f"interrupted: {done} restored, {4 - done} left; the same command goes on where this one stopped" in err
    assert len(results(folder / "out")) == done
    assert not list((folder / "out").glob("*.part"))
    statuses = [row["status"] for row in restore("in", "-o", "out", "--json").rows]
    assert (statuses.count("done already"), statuses.count("restored")) == (done, 4 - done)
    assert read_picture(folder / "out" / "large1.png").width == 1000


LONG_CALL = """
import hashlib
import signal
from pellucid.cli.process import second_interrupt_kills

signal.signal(signal.SIGINT, lambda *_: None)  # or it might be acted on just before the call
with second_interrupt_kills():
    print("begun", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)  # a single call that takes minutes
"""


def test_second_interrupt_stops_at_once():
    program = [sys.executable, "-c", LONG_CALL]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGINT)
        assert "press Ctrl-C again" in process.stderr.readline()
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 130
