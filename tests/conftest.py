"""Weight files that every room's tests may use."""

import signal

import pytest
import torch

from little import little_network, saved

# Jobs that a shell started in the background ignore interrupts, and their children too; tests send some.
signal.signal(signal.SIGINT, signal.default_int_handler)

torch.set_num_threads(1)  # on tensors this small, threads would only wait for one another


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """A little network of random weights that changes pictures a little."""
    return saved(little_network(), tmp_path_factory.mktemp("weights") / "little.safetensors")


@pytest.fixture(scope="session")
def identity(tmp_path_factory):
    """A little network that gives back exactly what it is given."""
    return saved(little_network(change=0.0), tmp_path_factory.mktemp("weights") / "identity.safetensors")
