"""What a person stumbles over on the first day: each is met with a sentence, and nothing of theirs is lost."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import tifffile

from little import little_network, little_picture, saved
from pellucid import training
from pellucid.tasks.weights import DEFAULT_WEIGHTS, TASKS

PROGRAM = [sys.executable, "-m", "pellucid"]


@pytest.fixture(autouse=True)
def photo(tmp_path, monkeypatch):
    """photo.png in the current folder, which holds nothing else."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    little_picture().save(here / "photo.png")


@pytest.mark.parametrize("arguments", [["restore", ""], ["restore", "photo.png", "-o", ""]], ids=str)
def test_an_empty_name_is_not_this_folder(run, arguments):
    result = run(*arguments)
    assert result.code == 2
    assert "an empty name" in result.sentence
    assert os.listdir() == ["photo.png"]


def test_one_picture_to_a_new_folder_goes_as_many_do(restore):
    assert restore("photo.png", "-o", "clean/").code == 0
    assert sorted(os.listdir("clean")) == [".pellucid-ledger.jsonl", "photo.png"]
    assert restore("photo.png", "-o", "clean").out == "clean/photo.png: done already\n"
    assert restore("photo.png", "-o", "clean.gif").code == 1  # a slip, which makes no folder
    assert not os.path.lexists("clean.gif")


def test_a_folder_of_other_things_gets_no_account(restore):
    os.mkdir("mine")
    assert restore("photo.png", "-o", "mine").code == 0
    assert os.listdir("mine") == ["photo.png"]


def test_a_picture_that_is_named_twice_is_restored_once(restore):
    result = restore("photo.png", "./photo.png", "-o", "clean")
    assert result.code == 0
    assert result.out.count("restored in") == 1


def test_names_do_not_break_lines(restore):
    os.rename("photo.png", "two\nlines\x1b[2J.png")
    result = restore("two\nlines\x1b[2J.png", "-o", "clean")
    assert result.out.splitlines()[0].startswith("clean/two\\nlines\\x1b[2J.png: ")
    assert restore("no\nsuch.png").sentence == "no\\nsuch.png: there is no such file"


@pytest.mark.parametrize("task", TASKS)
def test_the_tasks_of_the_help_exist(run, weights, task):
    assert task in run("restore", "--help").out
    assert DEFAULT_WEIGHTS[task]  # so that nobody needs --weights
    if task in ("denoise", "deblur", "dejpeg", "defocus", "derain"):  # which the little weights may be for
        assert run("restore", "photo.png", "--task", task, "--weights", weights, "-o", "b.png").code == 0


def test_a_task_that_does_not_exist(run, weights):
    for more in ([], ["--weights", weights]):
        result = run("restore", "photo.png", "--task", "sharpen", *more)
        assert result.code == 2
        assert result.sentence == f"there is no task 'sharpen'; there is {', '.join(TASKS)}"


def test_scale_without_super_resolution(run):
    assert "enlarge with --task sr" in run("restore", "photo.png", "--scale", 2).sentence


def test_a_run_that_has_not_saved_yet(run):
    os.mkdir("run")
    result = run("restore", "photo.png", "--weights", "run")
    assert result.code == 2
    assert "the folder run holds no weights.safetensors" in result.sentence


def test_info_takes_what_restore_takes_as_weights(run, tmp_path):
    bundled = next(iter(DEFAULT_WEIGHTS["denoise"].values()))
    assert run("info", bundled).out.startswith("system: Restormer\n")
    saved(little_network(), tmp_path / "weights.safetensors")
    assert run("info", tmp_path).out.startswith("system: Restormer\n")


def test_pages_are_counted(restore, tmp_path):
    tifffile.imwrite(tmp_path / "stack.tif", np.zeros((3, 8, 9), np.uint8), imagej=True)
    assert "9 × 8, 3 pages restored in" in restore(tmp_path / "stack.tif").out


def test_a_terminal_that_knows_few_characters():
    done = subprocess.run(
        [*PROGRAM, "models"], env={**os.environ, "PYTHONIOENCODING": "ascii"}, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no device that is always full")
def test_a_full_disk_behind_standard_output():
    with open("/dev/full", "w") as full:
        done = subprocess.run([*PROGRAM, "models"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("pellucid: stopped, since the system says: ")
    assert done.stderr.count("\n") == 1


def test_interrupted_training_says_how_to_go_on(run, photographs, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(training, "train", interrupted)
    result = run("train", "restormer-denoise-s", "--data", photographs, "--out", tmp_path / "run")
    assert result.code == 130
    assert result.err.startswith("interrupted; the same command goes on")
