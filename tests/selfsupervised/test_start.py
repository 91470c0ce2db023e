"""Weights for colour become those for any number of channels."""

import pytest
import torch

from pellucid import checkpoints
from pellucid.errors import CheckpointError
from pellucid.models.tbsn import TBSN, TBSNConfig
from pellucid.models.tbsn_unet import TBSNUNet, TBSNUNetConfig
from pellucid.selfsupervised.start import taught_by_photographs

NETWORKS = {
    "tbsn": TBSN(TBSNConfig(width=8, blocks=(1, 1, 1), refinement=1)),
    "tbsn-unet": TBSNUNet(TBSNUNetConfig(width=4)),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    for system, network in NETWORKS.items():
        checkpoints.save(network, system, folder / system, about={})
    return {system: str(folder / system) for system in NETWORKS}


@pytest.mark.parametrize("system", NETWORKS)
@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_grey_pictures_are_seen_as_the_colour_network_sees_them(files, system, channels):
    """Pictures whose channels are all alike, whose answer is the mean of the colours'."""
    colour = NETWORKS[system]
    network = taught_by_photographs(files[system], type(colour), channels)
    grey = torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        answer, expected = network(grey.expand(-1, channels, -1, -1)), colour(grey.expand(-1, 3, -1, -1))
    assert network.config == type(network.config)(
        **{**vars(colour.config), "in_channels": channels, "out_channels": channels}
    )
    if channels != 3:
        expected = expected.mean(1, keepdim=True).expand_as(answer)
    torch.testing.assert_close(answer, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_every_weight_can_learn(files, channels):
    network = taught_by_photographs(files["tbsn"], TBSN, channels)
    network(torch.rand(1, channels, 32, 32)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_another_kind_of_network_is_refused(files):
    with pytest.raises(CheckpointError, match="of no TBSN"):
        taught_by_photographs(files["tbsn-unet"], TBSN, 3)
