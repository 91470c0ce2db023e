"""Weight files that every room's tests may use."""

import pytest
import torch

from little import little_network, saved

torch.set_num_threads(1)  # on tensors this small, threads would only wait for one another


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """A little network of random weights that changes pictures a little."""
    return saved(little_network(), tmp_path_factory.mktemp("weights") / "little.safetensors")


@pytest.fixture(scope="session")
def identity(tmp_path_factory):
    """A little network that gives back exactly what it is given."""
    return saved(little_network(change=0.0), tmp_path_factory.mktemp("weights") / "identity.safetensors")
