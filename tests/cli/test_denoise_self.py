"""`pellucid denoise-self`: what is said, what is left behind, and how it goes on."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile
import torch

from little_self import with_little_networks
from pellucid import checkpoints
from pellucid.images import Picture, read_picture


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder "in" of two noisy pictures, in the folder where commands are given."""
    monkeypatch.chdir(tmp_path)
    with_little_networks(monkeypatch)
    (tmp_path / "in").mkdir()
    for seed in range(2):
        rng = np.random.default_rng(seed)
        values = np.linspace(0.2, 0.8, 96, dtype=np.float32)[:, None, None] * np.ones((96, 80, 3), np.float32)
        values += 0.05 * rng.standard_normal(values.shape).astype(np.float32)
        Picture(pixels=values.clip(0, 1)).save(tmp_path / "in" / f"{seed}.png")
    return tmp_path


@pytest.fixture
def denoise(run):
    return lambda *arguments: run("denoise-self", *arguments, "--device", "cpu")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_folder(denoise, folder):
    result = denoise("in", "-o", "out", "--budget", "1s", "--report", "noise.html")
    assert result.code == 0, result.err
    assert result.err.startswith("noise of 4.9% of the range, independent from pixel to pixel")
    assert names(folder / "out") == [".pellucid-ledger.jsonl", ".pellucid-self.safetensors", "0.png", "1.png"]
    assert (folder / "noise.html").read_text().startswith("<!doctype html>")
    again = denoise("in", "-o", "out", "--budget", "1s")
    assert again.out.splitlines() == ["out/0.png: done already", "out/1.png: done already"]


def test_a_single_picture_leaves_nothing_else(denoise, folder):
    assert denoise("in/0.png", "-o", "clean.png", "--budget", "1s").code == 0
    assert names(folder) == ["clean.png", "in"]
    before, after = (read_picture(path).pixels for path in ("in/0.png", "clean.png"))
    assert before.shape == after.shape


def test_what_was_kept_restores_others(denoise, run, folder):
    first = denoise("in/0.png", "-o", "a.png", "--budget", "1s", "--save-weights", "film.safetensors")
    assert first.code == 0
    assert checkpoints.describe("film.safetensors").about["task"] == "denoise"
    assert denoise("in/1.png", "-o", "b.png", "--weights", "film.safetensors").err == ""
    assert run("restore", "in/1.png", "-o", "c.png", "--weights", "film.safetensors", "--device", "cpu").code == 0
    np.testing.assert_array_equal(read_picture("b.png").pixels, read_picture("c.png").pixels)
    refused = denoise("in/1.png", "-o", "d.png", "--budget", "1s", "--save-weights", "film.safetensors")
    assert refused.code == 1
    assert "learned otherwise" in refused.err.splitlines()[-1]
    assert not (folder / "d.png").exists()


@pytest.mark.usefixtures("folder")
def test_stack(denoise):
    rng = np.random.default_rng(0)
    stack = (20000 + 1500 * rng.standard_normal((3, 80, 70))).astype(np.uint16)
    tifffile.imwrite("stack.ome.tif", stack, metadata={"axes": "TYX", "TimeIncrement": 0.5})
    assert denoise("stack.ome.tif", "-o", "clean.ome.tif", "--budget", "1s").code == 0
    with tifffile.TiffFile("clean.ome.tif") as file:
        assert file.series[0].axes == "TYX"
        assert file.asarray().dtype == np.uint16
        assert file.asarray().shape == stack.shape


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["in", "--quality", "good"], 2, "choose best or fast"),
        (["in", "--start", "anywhere"], 2, "choose photographs or nothing"),
        (["in", "--factor", "9"], 2, "from 1 to 8"),
        (["in", "--budget", "0"], 2, "time"),
        (["in", "--weights", "a.safetensors", "--report", "b.html"], 2, "nothing is learned"),
        (["gone.png"], 1, "gone.png"),
        (["in/0.png", "-o", "nowhere/a.png"], 1, "nowhere"),
        (["in/0.png", "-o", "in/1.png"], 1, "exists"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
@pytest.mark.usefixtures("folder")
def test_what_has_no_meaning_is_refused(denoise, arguments, code, sentence):
    result = denoise(*arguments)
    assert result.code == code, result.err
    assert sentence in result.sentence


@pytest.mark.usefixtures("folder")
def test_json_is_all_that_is_printed(denoise):
    result = denoise("in", "-o", "out", "--budget", "1s", "--json")
    assert [row["status"] for row in result.rows] == ["restored", "restored"]
    assert result.err == ""


def test_killed_it_goes_on(folder):
    """Killed by the system while it learns, the same command ends as usual."""
    command = [sys.executable, "-m", "pellucid", "denoise-self", "in", "-o", "out", "--budget", "60s"]
    program = subprocess.Popen([*command, "--device", "cpu"], stderr=subprocess.DEVNULL)
    state = folder / "out" / ".pellucid-self.safetensors.state"
    until = time.monotonic() + 100
    while not state.exists() and time.monotonic() < until:
        time.sleep(0.05)
    program.send_signal(signal.SIGKILL)
    program.wait()
    assert state.exists()
    assert not [name for name in os.listdir("out") if name.endswith(".png")]
    kept = torch.load(state, weights_only=True)
    assert kept["step"] >= 10
    torch.save({**kept, "steps": kept["step"] + 2}, state)  # so that the test is short
    result = subprocess.run([*command, "--device", "cpu"], check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert names(folder / "out")[-2:] == ["0.png", "1.png"]
    assert not state.exists()
