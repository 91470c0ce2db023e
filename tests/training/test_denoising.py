"""A run can be stopped anywhere and goes on as if it had not been."""

import json
import math
from contextlib import suppress
from dataclasses import replace
from itertools import count
from types import SimpleNamespace

import pytest
import torch

import pellucid
from little import LITTLE, smooth_pixels
from pellucid import checkpoints
from pellucid.errors import DataError, PellucidError
from pellucid.images import Picture
from pellucid.images.picture import to_floats
from pellucid.models.restormer import Restormer, RestormerConfig
from pellucid.training import DenoisingRecipe, Phase, train_denoiser
from pellucid.training import denoising as module

RECIPE = DenoisingRecipe(
    network=RestormerConfig(**LITTLE), phases=(Phase(3, 2, 8), Phase(7, 1, 12), Phase(8, 3, 8)), warmup=3, ema=0.8
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    for i, size in enumerate([(20, 30), (9, 14)]):
        Picture(pixels=to_floats(smooth_pixels(*size))).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def uninterrupted(folder, tmp_path_factory):
    run = tmp_path_factory.mktemp("run")
    train(folder, run)
    return run


def train(folder, run, recipe=RECIPE, save_every=2, **options):
    return train_denoiser(recipe, [folder], run, report_every=1, save_every=save_every, **options)


def stop_at(step):
    def report(progress):
        if progress.step == step:
            raise KeyboardInterrupt

    return report


def state(run):
    """The saved state, but for the seconds, which no two runs share."""
    state = torch.load(run / "state.pt", weights_only=True)
    del state["seconds"]
    return state


def assert_same(one, other):
    """Bit-equal, all the way down."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    elif isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)
    else:
        assert one == other


def assert_same_run(run, uninterrupted):
    assert_same(state(run), state(uninterrupted))
    assert (run / "weights.safetensors").read_bytes() == (uninterrupted / "weights.safetensors").read_bytes()
    logs = [[json.loads(line) for line in (r / "log.jsonl").read_text().splitlines()] for r in (run, uninterrupted)]
    assert [row["step"] for row in logs[0]] == list(range(1, RECIPE.steps + 1))
    assert [row["loss"] for row in logs[0]] == [row["loss"] for row in logs[1]]
    assert sorted(path.name for path in run.iterdir()) == ["log.jsonl", "state.pt", "weights.safetensors"]


def test_state_holds_everything(uninterrupted):
    whole = state(uninterrupted)
    assert set(whole) == {"recipe", "step", "network", "average", "muon", "adam"}
    assert whole["step"] == RECIPE.steps
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
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert train(folder, tmp_path) == tmp_path / "weights.safetensors"
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
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
    "changed", [{"seed": 1}, {"ema": 0.9}, {"phases": (Phase(20, 2, 8),)}, {"sigma": (0, 5)}], ids=str
)
def test_another_recipe_is_refused(folder, tmp_path, changed):
    train(folder, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(DataError, match="another recipe"):
        train(folder, tmp_path, replace(RECIPE, **changed))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


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


@pytest.fixture
def clock(monkeypatch):
    """Time that goes on by one second whenever somebody looks."""
    ticks = count()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: float(next(ticks))))


@pytest.mark.usefixtures("clock")
def test_no_step_after_the_time_is_up(folder, tmp_path):
    reports = []
    train(folder, tmp_path, save_every=100, max_seconds=6, report=reports.append)
    assert 0 < len(reports) < RECIPE.steps
    assert reports[-1].seconds < 8


@pytest.mark.usefixtures("clock")
def test_what_was_trained_in_the_time_is_kept(folder, tmp_path):
    """The run stops between two regular saves: its state and weights are those of the step it reached."""
    reports = []
    weights = train(folder, tmp_path, save_every=100, max_seconds=6, report=reports.append)
    assert state(tmp_path)["step"] == reports[-1].step
    assert isinstance(pellucid.load(weights), Restormer)


def test_run_stopped_by_time_ends_bit_equal(folder, tmp_path, monkeypatch, uninterrupted):
    with monkeypatch.context() as patch:
        ticks = count()
        patch.setattr(module, "time", SimpleNamespace(monotonic=lambda: float(next(ticks))))
        train(folder, tmp_path, max_seconds=12)
    assert 0 < state(tmp_path)["step"] < RECIPE.steps
    train(folder, tmp_path)
    assert_same_run(tmp_path, uninterrupted)


def test_diverged_run_says_so_and_keeps_the_last_good_state(folder, tmp_path):
    wild = replace(RECIPE, other_lr=1e30, matrix_lr=1e30, warmup=1)
    with pytest.raises(DataError, match="diverged at step"):
        train(folder, tmp_path, wild, save_every=1)
    for name, tensor in state(tmp_path)["network"].items() if (tmp_path / "state.pt").exists() else ():
        assert torch.isfinite(tensor).all(), name


def test_loss_goes_down(folder, tmp_path):
    recipe = replace(RECIPE, phases=(Phase(60, 4, 16),), sigma=(25.0, 25.0), matrix_lr=0.02, other_lr=5e-3)
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
            train(folder, tmp_path, recipe, save_every=1, report=stop_at(step + 1))
        whole = state(tmp_path)
        assert whole["step"] == step
        for name, tensor in expected.items():
            tensor.lerp_(whole["network"][name], 1 - keep)
            torch.testing.assert_close(whole["average"][name], tensor, atol=1e-6, rtol=1e-6)


def test_every_sample_is_used_once_and_in_order():
    expected = 0
    for step in range(RECIPE.steps):
        batch, crop, first = module._batch_at(RECIPE.phases, step)
        phase = next(phase for phase in RECIPE.phases if step < phase.until)
        assert (batch, crop, first) == (phase.batch, phase.crop, expected)
        expected += batch


def test_every_parameter_has_one_optimizer():
    network = Restormer(RECIPE.network)
    muon, adam = module._optimizers(network, RECIPE)
    parameters = [p for optimizer in (muon, adam) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(map(id, parameters)) == sorted(map(id, network.parameters()))


def test_learning_rate_warms_up_and_ends_near_zero():
    recipe = replace(RECIPE, phases=(Phase(1000, 1, 8),), warmup=100)
    rates = [module._rate(recipe, step) for step in range(1000)]
    assert 0 < rates[0] <= 0.01
    assert rates.index(max(rates)) in range(95, 101)
    assert max(rates) <= 1
    assert rates[100:] == sorted(rates[100:], reverse=True)
    assert 0 <= rates[-1] < 1e-4


def test_no_pictures_no_run(tmp_path):
    with pytest.raises(DataError, match="holds no picture"):
        train(tmp_path, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_starting_weights_are_where_a_run_begins(folder, uninterrupted, tmp_path):
    still = replace(RECIPE, matrix_lr=0.0, other_lr=0.0)
    weights = train(folder, tmp_path / "run", still, start=uninterrupted / "weights.safetensors")
    expected = checkpoints.load(uninterrupted / "weights.safetensors").state_dict()
    network = torch.load(tmp_path / "run" / "state.pt", weights_only=True)["network"]
    assert all(torch.equal(network[name], tensor) for name, tensor in expected.items())
    assert weights.is_file()


def test_starting_weights_of_another_network_are_refused(folder, uninterrupted, tmp_path):
    wider = replace(RECIPE, network=replace(RECIPE.network, width=16))
    with pytest.raises(PellucidError, match="another network"):
        train(folder, tmp_path / "run", wider, start=uninterrupted / "weights.safetensors")
