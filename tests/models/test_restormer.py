import dataclasses
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from checklist import randomise
from pellucid.models.restormer import RESTORMER_PRESETS, Restormer, RestormerConfig
from tolerances import assert_close

TINY: dict[str, Any] = {"width": 4, "blocks": (1, 1, 1), "heads": (1, 2, 2), "refinement": 1, "expansion": 1.5}


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def _tiny(**fields: Any) -> Restormer:
    network = randomise(Restormer(RestormerConfig(**{**TINY, **fields})))
    assert isinstance(network, Restormer)
    return network


@pytest.mark.parametrize(
    ("preset", "parameters", "keys"),
    [
        ("base", 26_126_644, 494),
        ("base-denoise", 26_111_668, 406),
        ("base-denoise-grey", 26_109_076, 406),
        ("base-dual-pixel", 26_132_548, 495),
    ],
)
def test_presets_have_the_released_networks_parameters(preset: str, parameters: int, keys: int) -> None:
    with torch.device("meta"):
        network = Restormer(RESTORMER_PRESETS[preset])
    assert sum(p.numel() for p in network.parameters()) == parameters
    assert len(network.state_dict()) == keys


def test_hidden_widths_are_truncated() -> None:
    with torch.device("meta"):
        network = Restormer(RESTORMER_PRESETS["base"])
    stages = [*network.encoders, network.latent]
    assert [stage[0].feedforward.project.in_channels for stage in stages] == [127, 255, 510, 1021]


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (5, 1), (2, 3), (3, 5000), (4, 4), (16, 12), (17, 23)])
def test_any_size_is_restored(size: tuple[int, int]) -> None:
    network = _tiny()
    with torch.no_grad():
        restored = network(torch.rand(1, 3, *size))
    assert restored.shape == (1, 3, *size)
    assert bool(torch.isfinite(restored).all())


def _padded_by_hand(image: torch.Tensor, multiple: int, *, reflect: bool) -> torch.Tensor:
    """Row r ≥ H is row 2(H − 1) − r where reflected (the edge is not repeated), else the last row; so with columns."""

    def source(side: int) -> list[int]:
        padded = -(-side // multiple) * multiple
        return [i if i < side else 2 * (side - 1) - i if reflect else side - 1 for i in range(padded)]

    return image[:, :, source(image.shape[2])][:, :, :, source(image.shape[3])]


@pytest.mark.parametrize(
    ("size", "reflect"),
    [
        ((3, 3), True),
        ((5, 7), True),
        ((9, 4), True),
        ((8, 11), True),
        ((2, 2), False),
        ((1, 1), False),
        ((1, 8), False),
    ],
)
def test_the_right_and_bottom_are_padded(size: tuple[int, int], reflect: bool) -> None:
    """By reflection; by repetition where the padding is not smaller than the picture. Here to multiples of 4."""
    network, image = _tiny(), torch.rand(2, 3, *size)
    assert network.config.multiple == 4
    padded = _padded_by_hand(image, 4, reflect=reflect)
    assert padded.shape[2] % 4 == padded.shape[3] % 4 == 0
    with torch.no_grad():
        assert_close(network(image), network(padded)[..., : size[0], : size[1]])


def test_the_paper_network_pads_to_eight_like_the_official_scripts() -> None:
    network = _tiny(blocks=(1, 1, 1, 1), heads=(1, 1, 1, 2), width=2)
    image = torch.rand(1, 3, 13, 21)
    assert network.config.multiple == 8
    official = F.pad(image, (0, 3, 0, 3), mode="reflect")
    with torch.no_grad():
        assert_close(network(image), network(official)[..., :13, :21])


def _silenced(network: Restormer) -> Restormer:
    with torch.no_grad():
        network.output.weight.zero_()
        if network.output.bias is not None:
            network.output.bias.zero_()
    return network


@pytest.mark.parametrize("unshuffle", [1, 2])
def test_the_image_is_added_to_the_output(unshuffle: int) -> None:
    image = torch.randn(1, 3, 9, 11)
    assert torch.equal(_silenced(_tiny(unshuffle=unshuffle))(image), image)


def test_dual_pixel_adds_no_image() -> None:
    network = _silenced(_tiny(in_channels=6, dual_pixel=True, bias=True))
    assert torch.equal(network(torch.randn(1, 6, 9, 11)), torch.zeros(1, 3, 9, 11))


def test_dual_pixel_adds_the_projected_embedding_before_the_output() -> None:
    network, image = _tiny(in_channels=6, dual_pixel=True), torch.rand(1, 6, 8, 12)
    assert network.skip is not None
    with torch.no_grad():
        complete = network(image)
        added = F.conv2d(network.skip(network.embed(image)), network.output.weight, padding=1)
        network.skip.weight.zero_()
        assert_close(complete, network(image) + added)


def test_unshuffle_is_the_network_on_the_unshuffled_picture() -> None:
    """The same parameters in a network of 12 channels, run on four pixels per position, give the same picture."""
    network, image = _tiny(unshuffle=2), torch.rand(1, 3, 16, 24)
    inner = Restormer(dataclasses.replace(network.config, unshuffle=1, in_channels=12, out_channels=12))
    inner.load_state_dict(network.state_dict())
    assert network.config.multiple == 8
    with torch.no_grad():
        assert_close(network(image), F.pixel_shuffle(inner(F.pixel_unshuffle(image, 2)), 2))


def test_the_skip_is_joined_after_the_upsampled_features() -> None:
    """Columns of a reduction: first half upsampled, second half skip."""
    network = _tiny()
    seen: list[torch.Tensor] = []
    network.reductions[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network.ups[0].register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    network.encoders[1].register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    with torch.no_grad():
        network(torch.rand(1, 3, 8, 8))
    skip, upsampled, joined = seen
    assert torch.equal(joined, torch.cat([upsampled, skip], dim=1))


@pytest.mark.parametrize(
    "fields",
    [
        {"blocks": (1, 1)},
        {"heads": (1, 2)},
        {"blocks": (), "heads": ()},
        {"blocks": (1,), "heads": (1,)},  # the refinement works at 2D channels, which one level never reaches
        {"blocks": (1, -1, 1)},
        {"refinement": -1},
        {"in_channels": 1},
        {"out_channels": 1},
        {"in_channels": 0, "out_channels": 0},
        {"dual_pixel": True, "in_channels": 6, "unshuffle": 2},
        {"unshuffle": 0},
        {"width": 0},
        {"width": -4},
        {"width": 5, "heads": (1, 1, 1)},  # a level is halved by a pixel-unshuffle of half its channels
        {"heads": (1, 3, 2)},
        {"heads": (0, 2, 2)},
        {"expansion": 0.0},
        {"expansion": -1.0},
        {"expansion": float("nan")},
        {"expansion": float("inf")},
    ],
    ids=str,
)
def test_configurations_that_cannot_run_are_refused(fields: dict[str, Any]) -> None:
    with torch.device("meta"), pytest.raises(ValueError, match=r"."):
        Restormer(RestormerConfig(**{**TINY, **fields}))


def test_a_configuration_is_frozen_and_keyword_only() -> None:
    config = RestormerConfig()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.width = 3  # type: ignore[misc]
    with pytest.raises(TypeError):
        RestormerConfig(3)  # type: ignore[misc]
    with pytest.raises(TypeError):
        RESTORMER_PRESETS["mine"] = config  # type: ignore[index]
