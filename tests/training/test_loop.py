"""A run can be stopped anywhere and goes on as if it had not been."""

import json
import math
import sys
from contextlib import suppress
from dataclasses import replace
from itertools import count

import pytest
import torch

import pellucid
from little_run import RECIPE, assert_same, contents, state, stop_at, train
from pellucid import checkpoints
from pellucid.data.degradations import GaussianNoise, JpegCompression, Reduction
from pellucid.errors import DataError, PellucidError, UsageError
from pellucid.images import read_picture
from pellucid.models.restormer import Restormer
from pellucid.training import Cosine, Phase, loop


def assert_same_run(run, uninterrupted):
    assert_same(state(run), state(uninterrupted))
    assert (run / "weights.safetensors").read_bytes() == (uninterrupted / "weights.safetensors").read_bytes()
    logs = [[json.loads(line) for line in (r / "log.jsonl").read_text().splitlines()] for r in (run, uninterrupted)]
    assert [row["step"] for row in logs[0]] == list(range(1, RECIPE.steps + 1))
    assert [row["loss"] for row in logs[0]] == [row["loss"] for row in logs[1]]
    sheets = [sorted((r / "samples").iterdir())[-1] for r in (run, uninterrupted)]
    assert sheets[0].read_bytes() == sheets[1].read_bytes()
    names = ["log.jsonl", "samples", "state.pt", "tensorboard", "weights.safetensors"]
    assert sorted(path.name for path in run.iterdir()) == names


def test_state_holds_everything(uninterrupted):
    whole = state(uninterrupted)
    assert set(whole) == {"recipe", "step", "samples", "network", "average", "muon", "adam"}
    assert whole["step"] == RECIPE.steps
    assert whole["samples"] == 3 * 2 + 4 * 1 + 1 * 3
    assert whole["muon"]["state"]
    assert whole["adam"]["state"]


@pytest.mark.parametrize("save_every", [1, 3])
@pytest.mark.parametrize("step", range(1, RECIPE.steps + 1))
def test_stopped_run_ends_bit_equal(folder, tmp_path, uninterrupted, step, save_every):
    """Stops in the middle of a phase, between phases, before the first save and at the end."""
    with pytest.raises(KeyboardInterrupt):
        train(folder, tmp_path, save_every=save_every, report=stop_at(step))
    torch.manual_seed(99)
    torch.rand(3)
    train(folder, tmp_path, save_every=save_every)
    assert_same_run(tmp_path, uninterrupted)


def test_run_stopped_again_and_again_ends_bit_equal(folder, tmp_path, uninterrupted):
    for step in range(2, RECIPE.steps + 1):
        with pytest.raises(KeyboardInterrupt):
            train(folder, tmp_path, save_every=1, report=stop_at(step))
    train(folder, tmp_path)
    assert_same_run(tmp_path, uninterrupted)


def test_finished_run_stays(folder, tmp_path, uninterrupted):
    train(folder, tmp_path)
    before = contents(tmp_path)
    assert train(folder, tmp_path) == tmp_path / "weights.safetensors"
    assert contents(tmp_path) == before
    assert_same_run(tmp_path, uninterrupted)


@pytest.mark.parametrize("nth", [1, 2, 4])
def test_killed_while_saving_the_state(folder, tmp_path, monkeypatch, uninterrupted, nth):
    calls, save = count(1), torch.save

    def half(content, path, *args, **options):
        save(content, path, *args, **options)
        if next(calls) == nth:
            path.write_bytes(path.read_bytes()[:500])
            raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(KeyboardInterrupt):
        train(folder, tmp_path)
    monkeypatch.undo()
    assert not list(tmp_path.glob("*.part")) + list(tmp_path.glob(".*.part"))
    if nth > 1:
        assert state(tmp_path)["step"] == 2 * (nth - 1)
    train(folder, tmp_path)
    assert_same_run(tmp_path, uninterrupted)


@pytest.mark.parametrize("nth", [1, 4])
def test_killed_between_the_state_and_the_weights(folder, tmp_path, monkeypatch, uninterrupted, nth):
    """The weights are those of the end also when the kill came after the last state."""
    calls, save = count(1), checkpoints.save

    def killed(*args, **options):
        if next(calls) == nth:
            raise KeyboardInterrupt
        save(*args, **options)

    monkeypatch.setattr(checkpoints, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        train(folder, tmp_path)
    monkeypatch.undo()
    train(folder, tmp_path)
    assert_same_run(tmp_path, uninterrupted)


def test_log_cut_in_the_middle_of_a_line(folder, tmp_path, uninterrupted):
    with pytest.raises(KeyboardInterrupt):
        train(folder, tmp_path, report=stop_at(5))
    log = tmp_path / "log.jsonl"
    log.write_bytes(log.read_bytes()[:-9])
    train(folder, tmp_path)
    assert_same_run(tmp_path, uninterrupted)


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 1},
        {"ema": 0.9},
        {"phases": (Phase(20, 2, 8),)},
        {"degradation": GaussianNoise(sigma=(0, 5))},
        {"degradation": JpegCompression()},
        {"schedule": Cosine(warmup=2)},
    ],
    ids=str,
)
def test_another_recipe_is_refused(folder, tmp_path, changed):
    train(folder, tmp_path)
    before = contents(tmp_path)
    with pytest.raises(DataError, match="another recipe"):
        train(folder, tmp_path, replace(RECIPE, **changed))
    assert contents(tmp_path) == before


@pytest.mark.parametrize(("kept", "added"), [(0, b""), (10, b""), (9000, b""), (-1, b""), (0, b"garbage" * 99)])
def test_damaged_state_is_refused(folder, tmp_path, uninterrupted, kept, added):
    (tmp_path / "state.pt").write_bytes((uninterrupted / "state.pt").read_bytes()[:kept] + added)
    with pytest.raises(DataError, match=r"state\.pt is damaged"):
        train(folder, tmp_path)


def test_foreign_state_is_refused(folder, tmp_path):
    torch.save({"weights": torch.zeros(3)}, tmp_path / "state.pt")
    with pytest.raises(DataError, match=r"state\.pt"):
        train(folder, tmp_path)


def test_run_folder_that_is_a_file(folder, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(PellucidError, match="file"):
        train(folder, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_diverged_run_says_so_and_is_not_kept(folder, tmp_path):
    wild = replace(RECIPE, lr=1e30, matrix_lr=1e30, schedule=Cosine(warmup=1))
    with pytest.raises(DataError, match="diverged at step"):
        train(folder, tmp_path, wild, save_every=1)
    assert not (tmp_path / "state.pt").exists()


def test_loss_goes_down(folder, tmp_path):
    recipe = replace(
        RECIPE, phases=(Phase(60, 4, 16),), degradation=GaussianNoise(sigma=(25, 25)), matrix_lr=0.02, lr=5e-3
    )
    losses = []
    train(folder, tmp_path, recipe, save_every=60, report=lambda progress: losses.append(progress.loss))
    assert len(losses) == 60
    untouched = 25 / 255 * (2 / math.pi) ** 0.5  # mean |noise|: what giving back the input would cost
    assert sum(losses[-10:]) / 10 < 0.9 * untouched
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])


def test_weights_are_the_average_and_load(uninterrupted):
    network = pellucid.load(uninterrupted / "weights.safetensors")
    assert isinstance(network, Restormer)
    assert network.config == RECIPE.network
    whole = state(uninterrupted)
    assert_same(dict(network.state_dict()), dict(whole["average"]))
    assert any(not torch.equal(whole["average"][name], whole["network"][name]) for name in whole["network"])


def test_average_follows_the_network(folder, tmp_path):
    recipe = replace(RECIPE, phases=(Phase(2, 1, 8),))
    torch.manual_seed(recipe.seed)
    expected = {name: tensor.clone() for name, tensor in Restormer(recipe.network).state_dict().items()}
    for step, keep in ((1, 1 / 10), (2, 2 / 11)):
        with suppress(KeyboardInterrupt):
            train(folder, tmp_path, recipe, save_every=1, report=stop_at(step))
        whole = state(tmp_path)
        assert whole["step"] == step
        for name, tensor in expected.items():
            tensor.lerp_(whole["network"][name], 1 - keep)
            torch.testing.assert_close(whole["average"][name], tensor, atol=1e-6, rtol=1e-6)


def test_no_pictures_no_run(tmp_path):
    with pytest.raises(DataError, match="holds no picture"):
        train(tmp_path, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_weights_say_what_they_are_for(folder, tmp_path):
    recipe = replace(RECIPE, task="sr", scale=2, degradation=Reduction(scale=2), phases=(Phase(1, 1, 8),))
    described = checkpoints.describe(train(folder, tmp_path, recipe))
    assert described.about == {"task": "sr", "scale": "2"}


def test_sheet_shows_degraded_restored_and_clean(uninterrupted):
    sheet = read_picture(max((uninterrupted / "samples").iterdir())).pixels
    assert sheet.shape == (4 * 128, 3 * 128, 3)
    degraded, restored, clean = (sheet[:, 128 * i : 128 * (i + 1)] for i in range(3))
    noise = abs(degraded - clean).mean()
    assert noise > 0.02
    assert 0 < abs(restored - degraded).mean() < 2 * noise


def test_slow_runs_are_saved_in_between(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "_MOST_SECONDS_UNSAVED", 0)
    with pytest.raises(KeyboardInterrupt):
        train(folder, tmp_path, save_every=100, report=stop_at(5))
    assert state(tmp_path)["step"] == 5


def test_long_runs_have_a_hundred_sheets_at_most(folder, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(folder, tmp_path, replace(RECIPE, phases=(Phase(250, 1, 8),)), save_every=1, report=stop_at(9))
    assert sorted(path.name for path in (tmp_path / "samples").iterdir()) == [
        "0000003.png",
        "0000006.png",
        "0000009.png",
    ]


def test_progress_names_the_last_sheet(folder, tmp_path):
    reports = []
    train(folder, tmp_path, save_every=3, report=reports.append)
    names = [report.sheet.name if report.sheet else None for report in reports]
    assert names == [None, None, *["0000003.png"] * 3, *["0000006.png"] * 2, "0000008.png"]


@pytest.mark.parametrize("changed", [{"loss": "charbonnier", "frequency": 0.1}, {"matrix_lr": 0.0}], ids=str)
def test_other_losses_and_optimizers_go_on_bit_equal(folder, tmp_path, changed):
    recipe = replace(RECIPE, **changed)
    train(folder, tmp_path / "whole", recipe)
    with pytest.raises(KeyboardInterrupt):
        train(folder, tmp_path / "stopped", recipe, report=stop_at(5))
    train(folder, tmp_path / "stopped", recipe)
    assert_same(state(tmp_path / "stopped"), state(tmp_path / "whole"))


def test_reduced_precision_learns_the_same(folder, tmp_path):
    """The losses are those of float32 but for the few digits of bfloat16; what is kept is float32."""
    losses = {"float32": [], "bfloat16": []}
    for precision, found in losses.items():
        recipe = replace(RECIPE, precision=precision)
        train(folder, tmp_path / precision, recipe, report=lambda progress, found=found: found.append(progress.loss))
    assert losses["bfloat16"] != losses["float32"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.02)
    assert {tensor.dtype for tensor in state(tmp_path / "bfloat16")["network"].values()} == {torch.float32}


def test_training_without_accelerate_names_the_package(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(UsageError, match=r"pip install 'pellucid\[train\]'"):
        train(folder, tmp_path)


def test_training_without_tensorboard(folder, tmp_path, monkeypatch, uninterrupted):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    train(folder, tmp_path)
    assert not (tmp_path / "tensorboard").exists()
    assert_same(state(tmp_path), state(uninterrupted))
