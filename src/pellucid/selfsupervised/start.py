"""Where learning begins: at random, or at what a network has learned from photographs, for any number of channels."""

from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from pellucid import checkpoints
from pellucid.errors import CheckpointError
from pellucid.models.tbsn import TBSN
from pellucid.models.tbsn_unet import TBSNUNet
from pellucid.tasks import find_weights

Network = TypeVar("Network", TBSN, TBSNUNet)


def begun(kind: type[Network], config: Any, *, seed: int, start: str | None) -> Network:
    """Return a network to train.

    Args:
        kind, config: of the network; beginning with weights, only the configuration's channels count.
        seed: of random weights.
        start: weights for colour to begin with; None to begin with random ones.

    Raises:
        CheckpointError: the weights are of another kind of network.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kind(config) if start is None else taught_by_photographs(start, kind, config.in_channels)


def taught_by_photographs(weights: str, kind: type[Network], channels: int) -> Network:
    """Return the network of some weights, which are for colour, for pictures of so many channels.

    Each channel starts as a grey picture that is all three colours at once: what weighs the input is the sum over the
    colours, shared by the channels; what makes the output is the mean.

    Raises:
        CheckpointError: they are of another kind of network.
    """
    colour = checkpoints.load(find_weights(weights))
    if not isinstance(colour, kind):
        raise CheckpointError(f"{weights} are of no {kind.__name__}")
    seen = colour.config.in_channels
    if channels == seen:
        return colour.requires_grad_()
    config: Any = replace(colour.config, in_channels=channels, out_channels=channels)
    network = kind(config)
    theirs = colour.state_dict()
    network.load_state_dict({name: _fitted(theirs[name], ours, seen) for name, ours in network.state_dict().items()})
    return network


def _fitted(theirs: Tensor, ours: Tensor, seen: int) -> Tensor:
    """Weights of a layer with as many channels as ours; the picture's are the last of the input, all of the output."""
    if len(theirs) != len(ours):
        theirs = theirs.mean(0, keepdim=True).expand(len(ours), *theirs.shape[1:])
    if theirs.shape == ours.shape:
        return theirs
    rest = theirs.shape[1] - seen
    channels = ours.shape[1] - rest
    fitted = ours.clone()
    fitted[:, :rest] = theirs[:, :rest]
    fitted[:, rest:] = theirs[:, rest:].sum(1, keepdim=True) / channels
    return fitted
