"""Training that takes no time, and what a run leaves."""

import torch

from little import LITTLE
from pellucid.data.degradations import GaussianNoise
from pellucid.models.restormer import RestormerConfig
from pellucid.training import Cosine, Phase, Recipe
from pellucid.training import train as train_recipe

RECIPE = Recipe(
    task="denoise",
    network=RestormerConfig(**LITTLE),
    degradation=GaussianNoise(),
    grey_share=0.3,
    phases=(Phase(3, 2, 8), Phase(7, 1, 12), Phase(8, 3, 8)),
    schedule=Cosine(warmup=3),
    ema=0.8,
)


def train(folder, run, recipe=RECIPE, save_every=2, **options):
    return train_recipe(recipe, [folder], run, log_every=1, save_every=save_every, **options)


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


def contents(run):
    """What is in a run's folder; TensorBoard adds a file whenever a run is opened."""
    return {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}


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
