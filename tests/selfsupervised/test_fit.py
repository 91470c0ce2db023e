"""A run learns, can be stopped and go on, and stays blind."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from blind_spot_leak import leak
from pellucid import checkpoints
from pellucid.errors import DataError
from pellucid.models.tbsn import TBSN, TBSNConfig
from pellucid.selfsupervised.fit import FitOptions, fit
from pellucid.selfsupervised.windows import anywhere, corners

SHORT = FitOptions(factor=1, level=0.1, steps=24)


def noisy_pictures(count=1, channels=1, size=(160, 176)):
    """Smooth pictures with noise of 0.1."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0 : 1 : size[0] * 1j, 0 : 1 : size[1] * 1j]
    clean = np.stack([0.3 + 0.4 * x * y] * channels, axis=2)
    return [(clean + 0.1 * rng.standard_normal(clean.shape)).astype(np.float32) for _ in range(count)]


def weights_of(fitted):
    return torch.cat([parameter.flatten() for parameter in fitted.network.parameters()])


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Weights for colour to begin with."""
    path = tmp_path_factory.mktemp("start") / "start.safetensors"
    torch.manual_seed(0)
    checkpoints.save(TBSN(TBSNConfig(width=8, blocks=(1, 1, 1), refinement=1)), "tbsn", path)
    return str(path)


class StopError(Exception):
    """Kills a run."""


@pytest.mark.parametrize("taught", [False, True])
@pytest.mark.parametrize(("stop", "channels"), [(3, 1), (10, 3), (21, 1)])
def test_a_run_that_is_stopped_goes_on_to_the_same_bits(tmp_path, start, stop, channels, taught):
    pictures, state = noisy_pictures(channels=channels), tmp_path / "state"
    options = replace(SHORT, start=start if taught else None)
    whole = fit(pictures, options)

    def kill(progress):
        if progress.step == stop:
            raise StopError

    with pytest.raises(StopError):
        fit(pictures, options, state=state, report=kill)
    resumed = fit(pictures, options, state=state)
    assert torch.equal(weights_of(resumed), weights_of(whole))
    assert [check[::2] for check in resumed.checks] == [check[::2] for check in whole.checks]


def test_the_number_of_steps_is_found_from_the_time_and_kept(tmp_path):
    seen = []

    def watch(progress):
        seen.append(progress.steps)
        if progress.step == 11:
            raise StopError

    options = FitOptions(factor=1, level=0.1, seconds=1e-3)
    with pytest.raises(StopError):
        fit(noisy_pictures(), options, state=tmp_path / "state", report=watch)
    steps = seen[-1]
    assert seen[8] is None
    assert steps == 12  # the fewest, here
    torch.save({**torch.load(tmp_path / "state", weights_only=True), "steps": 11}, tmp_path / "state")
    assert fit(noisy_pictures(), options, state=tmp_path / "state").checks[-1].step == 11


def test_it_learns():
    fitted = fit(noisy_pictures(), FitOptions(factor=1, level=0.1, steps=70))
    assert fitted.checks[-1].error < 0.5 * fitted.checks[0].error
    assert fitted.checks[-1].error > 0.8 * 0.1**2  # not less than the noise, which cannot be foretold


@pytest.mark.parametrize("best", [0, 1, 2])
def test_the_best_weights_are_those_that_one_gets(tmp_path, monkeypatch, best):
    """Checks come after steps 10, 20 and 24."""
    errors = iter([0.1 if index == best else 0.2 for index in range(3)])
    monkeypatch.setattr("pellucid.selfsupervised.fit._Fit._error", lambda _: next(errors))
    averages = []

    def watch(progress):
        if progress.checks and progress.checks[-1].step == progress.step:
            averages.append(torch.load(tmp_path / "state", weights_only=True)["average"])

    fitted = fit(noisy_pictures(), SHORT, state=tmp_path / "state", report=watch)
    for index, average in enumerate(averages):
        same = all(torch.equal(average[name], tensor) for name, tensor in fitted.network.state_dict().items())
        assert same == (index == best)


def test_what_it_began_with_is_kept_where_nothing_was_better(monkeypatch, start):
    errors = iter([0.1, 0.2, 0.2, 0.2])
    monkeypatch.setattr("pellucid.selfsupervised.fit._Fit._error", lambda _: next(errors))
    fitted = fit(noisy_pictures(channels=3), replace(SHORT, start=start))
    assert [check.step for check in fitted.checks] == [0, 10, 20, 24]
    for name, tensor in checkpoints.load(start).state_dict().items():
        assert torch.equal(fitted.network.state_dict()[name], tensor)


@pytest.mark.parametrize("factor", [1, 2])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_any_channels_and_small_pictures(factor, channels):
    pictures = [*noisy_pictures(channels=channels, size=(40, 70)), *noisy_pictures(channels=channels, size=(33, 200))]
    fitted = fit(pictures, FitOptions(factor=factor, level=0.1, steps=11))
    assert fitted.network.config.in_channels == channels
    assert np.isfinite(fitted.checks[-1].error)


def test_the_state_of_another_run_is_refused(tmp_path, start):
    fit(noisy_pictures(), SHORT, about="these", state=tmp_path / "state")
    with pytest.raises(DataError, match="another run"):
        fit(noisy_pictures(), SHORT, about="those", state=tmp_path / "state")
    with pytest.raises(DataError, match="another run"):
        fit(noisy_pictures(), replace(SHORT, start=start), about="these", state=tmp_path / "state")
    (tmp_path / "state").write_bytes(b"nonsense")
    with pytest.raises(DataError, match="damaged"):
        fit(noisy_pictures(), SHORT, state=tmp_path / "state")


def test_squares_to_judge_by_are_never_learned_from():
    pictures = noisy_pictures(count=2, size=(200, 260))
    held = corners(pictures, 6, 32, 64)
    assert len(set(held)) == 6
    assert not any(a.meets(b) for a in held for b in held if a is not b)
    generator = np.random.default_rng(0)
    for _ in range(300):
        place = anywhere(pictures, int(generator.integers(2)), 64, held, generator)
        assert not any(place.meets(other) for other in held)
        assert place.cut(pictures).shape == (1, 64, 64)
    assert corners(noisy_pictures(size=(100, 100)), 6, 32, 64) == []  # no room beside them


def test_what_has_learned_is_blind():
    network = fit(noisy_pictures(channels=3), FitOptions(factor=1, level=0.1, steps=12)).network
    assert leak(network.double()) == 0
