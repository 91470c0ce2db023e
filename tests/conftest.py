"""Weight files that every room's tests may use."""

import pytest

from little import little_network, saved


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """A little network of random weights that changes pictures a little."""
    return saved(little_network(), tmp_path_factory.mktemp("weights") / "little.safetensors")


@pytest.fixture(scope="session")
def identity(tmp_path_factory):
    """A little network that gives back exactly what it is given."""
    return saved(little_network(change=0.0), tmp_path_factory.mktemp("weights") / "identity.safetensors")
