"""A run in limited time is a whole one, only shorter."""

import json
from dataclasses import replace
from itertools import count
from types import SimpleNamespace

import pytest

import pellucid
from little_run import RECIPE, assert_same, contents, state, stop_at, train
from pellucid.errors import UsageError
from pellucid.models.restormer import Restormer
from pellucid.training import Cosine, Phase, loop


@pytest.fixture
def clock(monkeypatch):
    """Time that goes on by one second whenever somebody looks, which is once a step."""
    ticks = count()
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: float(next(ticks))))


@pytest.mark.usefixtures("clock")
def test_run_in_limited_time_is_a_whole_one(folder, tmp_path):
    """It takes fewer steps, ends in the last phase with the last learning rates, and keeps what it has learned."""
    recipe = replace(RECIPE, phases=(Phase(60, 2, 8), Phase(90, 1, 12), Phase(100, 3, 8)), schedule=Cosine(warmup=1))
    reports = []
    weights = train(folder, tmp_path, recipe, save_every=100, max_seconds=20, report=reports.append)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, 21))
    assert [row["rate"] for row in rows] == [recipe.schedule(5 * step, 100) for step in range(20)]
    assert rows[-1]["rate"] < 0.01
    assert reports[-1].share == 1
    assert state(tmp_path)["step"] == 20
    assert state(tmp_path)["samples"] == 12 * 2 + 6 * 1 + 2 * 3
    assert isinstance(pellucid.load(weights), Restormer)


@pytest.mark.usefixtures("clock")
def test_time_counts_earlier_parts_of_a_run(folder, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(folder, tmp_path, save_every=1, max_seconds=6, report=stop_at(4))
    train(folder, tmp_path, save_every=1, max_seconds=6)
    assert state(tmp_path)["step"] == 6
    before = contents(tmp_path)
    train(folder, tmp_path, save_every=1, max_seconds=6)
    assert contents(tmp_path) == before


@pytest.mark.usefixtures("clock")
def test_time_that_is_enough_changes_nothing(folder, tmp_path, uninterrupted):
    train(folder, tmp_path, max_seconds=RECIPE.steps)
    assert_same(state(tmp_path), state(uninterrupted))


def test_no_time_is_refused(folder, tmp_path):
    with pytest.raises(UsageError, match="takes time"):
        train(folder, tmp_path / "run", max_seconds=0)


def test_pauses_of_the_machine_do_not_count(monkeypatch):
    moments = iter([10.0, 11.0, 12.0, 13.0, 313.0, 314.0])
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: next(moments)))
    watch = loop._Stopwatch(100.0)
    for expected in (101, 102, 103, 104, 105):
        watch.seconds = watch.lap()
        assert watch.seconds == pytest.approx(expected)
