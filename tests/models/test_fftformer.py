import dataclasses
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from checklist import randomise
from pellucid.models.fftformer import (
    FFTFORMER_PRESETS,
    BilinearDownsample,
    BilinearUpsample,
    FFTformer,
    FFTformerConfig,
    Fuse,
)
from tolerances import assert_close

TINY: dict[str, Any] = {"width": 2, "blocks": (1, 1, 1), "refinement": 1, "expansion": 1.5}


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def _tiny(**fields: Any) -> FFTformer:
    network = randomise(FFTformer(FFTformerConfig(**{**TINY, **fields})))
    assert isinstance(network, FFTformer)
    return network


def test_the_base_has_the_released_networks_parameters() -> None:
    """With the 18 432 of the convolution that is not used."""
    with torch.device("meta"):
        network = FFTformer(FFTFORMER_PRESETS["base"])
    assert sum(p.numel() for p in network.parameters()) == 16_560_474
    assert network.unused.weight.numel() == 18_432
    assert len(network.state_dict()) == 535


def test_hidden_widths_are_truncated_and_those_of_fuse_are_its_own() -> None:
    with torch.device("meta"):
        network = FFTformer(FFTFORMER_PRESETS["base"])
    assert [stage[0].feedforward.project.in_channels for stage in network.encoders] == [144, 288, 576]
    assert [stage[0].feedforward.project.in_channels for stage in network.decoders] == [576, 288, 144]
    assert [fuse.block.feedforward.project.in_channels for fuse in network.fuses] == [510, 255]


def test_biases_are_where_the_authors_have_them() -> None:
    """Not in the embedding, the resampling, nor in the feed-forward layers of the fusions."""
    with torch.device("meta"):
        network = FFTformer(FFTformerConfig(**TINY, bias=True))
    without = {
        name.removesuffix(".weight")
        for name, _ in network.named_parameters()
        if name.endswith(".weight") and name.replace(".weight", ".bias") not in network.state_dict()
    }
    layers = ("expand", "depthwise", "project")
    assert without == {
        "embed.convolution",
        *(f"{kind}.{i}.convolution" for kind in ("downs", "ups") for i in (0, 1)),
        *(f"fuses.{i}.block.feedforward.{layer}" for i in (0, 1) for layer in layers),
    }


@pytest.mark.parametrize("size", [(1, 1), (5, 1), (2, 33), (32, 64), (31, 70)])
def test_any_size_is_restored(size: tuple[int, int]) -> None:
    network = _tiny()
    with torch.no_grad():
        restored = network(torch.rand(1, 3, *size))
    assert restored.shape == (1, 3, *size)
    assert bool(torch.isfinite(restored).all())


@pytest.mark.parametrize(("size", "mode"), [((40, 50), "reflect"), ((17, 32), "reflect"), ((16, 40), "replicate")])
def test_the_right_and_bottom_are_padded_to_32(size: tuple[int, int], mode: str) -> None:
    """By reflection as in the official test; by repetition where the padding is not smaller than the picture."""
    network, image = _tiny(), torch.rand(1, 3, *size)
    assert network.config.multiple == 32
    padded = F.pad(image, (0, -size[1] % 32, 0, -size[0] % 32), mode=mode)
    with torch.no_grad():
        assert_close(network(image), network(padded)[..., : size[0], : size[1]])


def test_the_image_is_added_to_the_output() -> None:
    for unshuffle in (1, 2):
        network, image = _tiny(unshuffle=unshuffle), torch.randn(1, 3, 40, 33)
        with torch.no_grad():
            network.output.weight.zero_()
            assert torch.equal(network(image), image)


def test_the_unused_convolution_has_no_part_in_the_output() -> None:
    network, image = _tiny(), torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        before = network(image)
        network.unused.weight.mul_(100)
        assert torch.equal(network(image), before)


def test_unshuffle_is_the_network_on_the_unshuffled_picture() -> None:
    network, image = _tiny(unshuffle=2), torch.rand(1, 3, 64, 128)
    inner = FFTformer(dataclasses.replace(network.config, unshuffle=1, in_channels=12, out_channels=12))
    inner.load_state_dict(network.state_dict())
    assert network.config.multiple == 64
    with torch.no_grad():
        assert_close(network(image), F.pixel_shuffle(inner(F.pixel_unshuffle(image, 2)), 2))


def test_the_encoder_has_no_attention_and_the_decoder_begins_at_its_end() -> None:
    network, seen = _tiny(), []
    assert not any("attention" in name for name, _ in network.encoders.named_parameters())
    network.encoders[2].register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    network.decoders[0].register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        network(torch.rand(1, 3, 32, 32))
    assert seen[0] is seen[1]


def test_fuse_is_its_equation() -> None:
    fuse = randomise(Fuse(3))
    d, e = torch.randn(2, 1, 3, 16, 8)
    with torch.no_grad():
        s = fuse.block(fuse.join(torch.cat([d, e], dim=1)))
        first, second = fuse.split(s).chunk(2, dim=1)
        assert_close(fuse(d, e), first + second)


def test_resampling_is_bilinear_interpolation_before_a_convolution() -> None:
    x, down, up = torch.randn(1, 4, 6, 10), BilinearDownsample(4), BilinearUpsample(4)
    halved = F.interpolate(x, scale_factor=0.5, mode="bilinear", align_corners=False)
    assert_close(down(x), F.conv2d(halved, down.convolution.weight, padding=1))
    doubled = _doubled(_doubled(x).mT).mT
    assert_close(up(x), F.conv2d(doubled, up.convolution.weight, padding=1))


def _doubled(x: torch.Tensor) -> torch.Tensor:
    """Two rows for each, with a quarter of the row on their side; the first and the last are repeated."""
    above = torch.cat([x[..., :1, :], x[..., :-1, :]], dim=-2)
    below = torch.cat([x[..., 1:, :], x[..., -1:, :]], dim=-2)
    return torch.stack([0.75 * x + 0.25 * above, 0.75 * x + 0.25 * below], dim=-2).flatten(-3, -2)


@pytest.mark.parametrize(
    "fields",
    [
        {"blocks": (1, 1)},
        {"blocks": (1, 1, 1, 8)},
        {"blocks": (1, 0, 1)},
        {"blocks": (1, 1, 600)},
        {"refinement": -1},
        {"in_channels": 1},
        {"in_channels": 0, "out_channels": 0},
        {"unshuffle": 0},
        {"width": 0},
        {"width": 2.0},
        {"width": 2**20},
        {"bias": 1},
        {"expansion": 0.0},
        {"expansion": -1.0},
        {"expansion": float("nan")},
        {"expansion": float("inf")},
    ],
    ids=str,
)
def test_configurations_that_cannot_run_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        FFTformerConfig(**{**TINY, **fields})


def test_a_configuration_is_frozen_and_keyword_only() -> None:
    config = FFTformerConfig()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.width = 3  # type: ignore[misc]
    with pytest.raises(TypeError):
        FFTformerConfig(3)  # type: ignore[misc]
    with pytest.raises(TypeError):
        FFTFORMER_PRESETS["mine"] = config  # type: ignore[index]
