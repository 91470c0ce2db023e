"""What a run begins with: weights, and its share of each batch."""

from dataclasses import replace

import pytest
import torch

from little_run import RECIPE, train
from pellucid import checkpoints
from pellucid.data import PictureFolders
from pellucid.errors import CheckpointError, UsageError
from pellucid.models.fftformer import FFTformerConfig
from pellucid.models.grl import GRLConfig
from pellucid.training import Phase
from pellucid.training.feed import Feed
from pellucid.training.trainer import Trainer


def test_starting_weights_are_where_a_run_begins(folder, uninterrupted, tmp_path):
    still = replace(RECIPE, matrix_lr=0.0, lr=0.0)
    said = []
    weights = train(folder, tmp_path, still, start=uninterrupted / "weights.safetensors", say=said.append)
    expected = checkpoints.load(uninterrupted / "weights.safetensors").state_dict()
    network = torch.load(tmp_path / "state.pt", weights_only=True)["network"]
    assert all(torch.equal(network[name], tensor) for name, tensor in expected.items())
    assert weights.is_file()
    assert len(said) == 1
    assert said[0].startswith(f"{len(expected)} of {len(expected)} tensors taken over")


def test_starting_weights_are_taken_over_as_far_as_they_fit(folder, uninterrupted, tmp_path):
    other = replace(RECIPE, network=replace(RECIPE.network, unshuffle=4), matrix_lr=0.0, lr=0.0)
    said = []
    train(folder, tmp_path, other, start=uninterrupted / "weights.safetensors", say=said.append)
    theirs = checkpoints.load(uninterrupted / "weights.safetensors").state_dict()
    network = torch.load(tmp_path / "state.pt", weights_only=True)["network"]
    same = {name for name, tensor in network.items() if torch.equal(tensor, theirs[name])}
    assert set(network) - same == {"embed.convolution.weight", "output.weight"}
    assert f"{len(same)} of {len(network)} tensors" in said[0]
    assert "embed.convolution.weight, output.weight" in said[0]


def test_starting_weights_of_which_nothing_fits_are_refused(folder, tmp_path):
    network = checkpoints.create("gfnet", preset="ti")
    checkpoints.save(network, "gfnet", tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="nothing that fits"):
        train(folder, tmp_path / "run", start=tmp_path / "other.safetensors")


def test_batch_that_processes_cannot_share(folder):
    pictures = PictureFolders(folder)
    with pytest.raises(UsageError, match="2 processes cannot share a batch of 1"):
        Feed(RECIPE, pictures, 0, 2)


def test_processes_share_each_batch(folder):
    pictures, phase = PictureFolders(folder), Phase(9, 4, 8)
    recipe = replace(RECIPE, phases=(phase,))
    with Feed(recipe, pictures, 0, 1) as whole, Feed(recipe, pictures, 0, 2) as a, Feed(recipe, pictures, 1, 2) as b:
        for first in (0, 4, 40):
            batch, one, other = (feed.batch(first, phase).clean for feed in (whole, a, b))
            assert torch.equal(batch[0::2], one)
            assert torch.equal(batch[1::2], other)


@pytest.mark.parametrize(
    "network",
    [
        RECIPE.network,
        FFTformerConfig(width=8, blocks=(1, 1, 1), refinement=1),
        GRLConfig(
            width=16, depths=(4,), window_heads=(1,), stripe_heads=(1,), mlp_width=16, window_size=8, stripe_size=(8, 8)
        ),
    ],
    ids=lambda network: type(network).__name__,
)
def test_everything_that_is_trained_gets_a_gradient(network):
    """Otherwise several processes would wait for it."""
    trainer = Trainer(replace(RECIPE, network=network), None, print)
    output = trainer.network(torch.rand(1, 3, 16, 16))
    output.square().sum().backward()
    without = [name for name, p in trainer.network.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []
