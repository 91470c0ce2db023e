"""Recipes: those there are, their schedules, and what `--set` changes."""

from dataclasses import replace

import pytest
import torch

from pellucid.checkpoints import SYSTEMS
from pellucid.data.degradations import CameraShake, Defocus, GaussianNoise, Reduction
from pellucid.errors import UsageError
from pellucid.models.restormer import Restormer, RestormerConfig
from pellucid.training import RECIPES, Cosine, Phase, Recipe, Staircase, changed
from pellucid.training.losses import LOSSES, frequency_l1
from pellucid.training.trainer import _optimizers

RECIPE = Recipe(
    task="sr", network=RestormerConfig(), degradation=Reduction(scale=2), phases=(Phase(40, 8, 64), Phase(60, 4, 96))
)


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_make_sense(name):
    recipe = RECIPES[name]
    assert recipe.task in {"denoise", "dejpeg", "sr", "deblur", "demosaic", "defocus", "derain"}
    assert recipe.task in name or name == "restormer-real-s"
    assert (recipe.scale > 1) == (recipe.task == "sr")
    ends = [phase.until for phase in recipe.phases]
    assert ends == sorted(set(ends))
    assert all(phase.crop % recipe.degradation.multiple == 0 for phase in recipe.phases)
    assert recipe.degradation.margin % recipe.degradation.multiple == 0
    if isinstance(recipe.degradation, CameraShake):
        assert recipe.degradation.margin >= recipe.degradation.extent[1] + 1
    if isinstance(recipe.degradation, Defocus):
        assert recipe.degradation.margin >= recipe.degradation.radius[1] + 1
    of, system = next((of, system) for of, system in SYSTEMS.items() if type(recipe.network) is system.config)
    restoration = system.restoration(recipe.network)
    assert restoration is not None
    assert restoration.channels == 3
    assert name.startswith(f"{of}-")


def test_cosine_warms_up_holds_and_falls():
    rates = [Cosine(warmup=100, hold=300, floor=0.01)(step, 1000) for step in range(1000)]
    assert rates[0] == 0.01
    assert rates[49] == 0.5
    assert set(rates[99:301]) == {1.0}
    assert rates[300:] == sorted(rates[300:], reverse=True)
    assert rates[650] == pytest.approx(0.505)
    assert rates[-1] == pytest.approx(0.01, abs=1e-4)
    assert 0 <= Cosine()(999, 1000) < 1e-5


def test_staircase_halves_at_its_milestones():
    schedule = Staircase(milestones=(10, 20), warmup=4)
    assert [schedule(step, 30) for step in (0, 1, 3, 9, 10, 19, 20, 29)] == [0.25, 0.5, 1, 1, 0.5, 0.5, 0.25, 0.25]
    assert Staircase(milestones=())(7, 30) == 1


def test_phase_of_each_step():
    assert [RECIPE.phase_at(step).batch for step in (0, 39, 40, 59)] == [8, 8, 4, 4]
    assert RECIPE.steps == 60


@pytest.mark.parametrize("matrix_lr", [0.0, 0.007])
def test_every_parameter_has_one_optimizer(matrix_lr):
    network = Restormer(RECIPES["restormer-denoise-s"].network)
    optimizers = _optimizers(network, replace(RECIPE, matrix_lr=matrix_lr))
    assert list(optimizers) == (["adam", "muon"] if matrix_lr else ["adam"])
    parameters = [p for o in optimizers.values() for group in o.param_groups for p in group["params"]]
    assert sorted(map(id, parameters)) == sorted(map(id, network.parameters()))


def test_losses():
    restored = torch.tensor([0.0, 0.5, 1.0, 0.25]).view(1, 1, 2, 2)
    clean = torch.tensor([0.0, 0.25, 0.5, 1.0]).view(1, 1, 2, 2)
    assert LOSSES["l1"](restored, clean) == pytest.approx((0.25 + 0.5 + 0.75) / 4)
    assert LOSSES["charbonnier"](clean, clean) == pytest.approx(1e-3)
    assert LOSSES["charbonnier"](restored, clean) == pytest.approx((0.25 + 0.5 + 0.75 + 1e-3) / 4, abs=1e-5)
    # The transform of a constant difference is that times the number of pixels, at one real frequency of 4 · 3 · 2.
    ramp = torch.zeros(1, 1, 4, 4)
    assert frequency_l1(ramp + 0.5, ramp) == pytest.approx(0.5 * 16 / 24)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lr=3e-4", {"lr": 3e-4}),
        (" clip = 1 ", {"clip": 1.0}),
        ("seed=7", {"seed": 7}),
        ("seed=0", {"seed": 0}),
        ("loss=charbonnier", {"loss": "charbonnier"}),
        ("precision=bfloat16", {"precision": "bfloat16"}),
        ("grey_share=0.5", {"grey_share": 0.5}),
        ("phases=(9, 2, 8), (12, 1, 16)", {"phases": (Phase(9, 2, 8), Phase(12, 1, 16))}),
        ("steps=6", {"phases": (Phase(4, 8, 64), Phase(6, 4, 96))}),
        ("steps=6000", {"phases": (Phase(4000, 8, 64), Phase(6000, 4, 96))}),
    ],
)
def test_what_can_be_set(text, expected):
    assert changed(RECIPE, [text]) == replace(RECIPE, **expected)


def test_several_settings():
    assert changed(RECIPE, ["lr=1", "ema=0.5", "lr=2"]) == replace(RECIPE, lr=2.0, ema=0.5)
    assert changed(RECIPE, []) == RECIPE


@pytest.mark.parametrize(
    ("text", "about"),
    [
        ("lr", "is not a setting"),
        ("rate=3", "no setting 'rate'; it has .*lr"),
        ("task=denoise", "no setting 'task'"),
        ("network=3", "no setting 'network'"),
        ("lr=fast", "lr takes a number"),
        ("lr=-1", "lr takes a number"),
        ("lr=nan", "lr takes a number"),
        ("lr=inf", "lr takes a number"),
        ("ema=1.5", "ema takes a number from 0 to 1"),
        ("grey_share=2", "grey_share takes a number from 0 to 1"),
        ("seed=1.5", "seed takes a whole number"),
        ("seed=-1", "seed takes a whole number"),
        ("steps=0", "steps takes a whole number from 1"),
        ("steps=²", "steps takes a whole number from 1"),
        ("loss=l2", "loss is one of l1, charbonnier"),
        ("precision=float16", "precision is one of float32, bfloat16"),
        ("phases=", "phases are written as"),
        ("phases=(1, 2)", "phases are written as"),
        ("phases=(9, 2, 8), (8, 2, 8)", "phases are written as"),
        ("phases=(9, 0, 8),", "phases are written as"),
        ("phases=__import__('os')", "phases are written as"),
        ("phases=(9, 2, 7),", "multiples of 2"),
    ],
)
def test_what_cannot_be_set_is_a_sentence(text, about):
    with pytest.raises(UsageError, match=about) as caught:
        changed(RECIPE, [text])
    assert "\n" not in str(caught.value)


def test_fingerprint_tells_degradations_of_equal_values_apart():
    one = replace(RECIPE, degradation=Reduction(scale=2))
    assert repr(one) != repr(replace(RECIPE, degradation=GaussianNoise()))
