"""What the contracts do not ask of TBSN and its student: the wiring against the paper's, without lattices."""

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from checklist import many_stripes, randomise
from pellucid.checkpoints.tbsn_unet import official_name
from pellucid.models.tbsn import DTAB, TBSN, TBSN_PRESETS, LatticeFeedForward, TBSNConfig
from pellucid.models.tbsn_unet import TBSN_UNET_PRESETS, TBSNUNet, TBSNUNetConfig
from plain_tbsn_unet import plain_student
from tolerances import assert_close

TINY: dict[str, Any] = {"width": 8, "blocks": (1, 2, 1), "refinement": 1, "window": 4, "overlaps": (8, 4, 8)}


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def _tiny(**fields: Any) -> TBSN:
    network = randomise(TBSN(TBSNConfig(**{**TINY, **fields})).double())
    assert isinstance(network, TBSN)
    return network


def test_presets_have_the_released_networks_parameters() -> None:
    with torch.device("meta"):
        network, student = TBSN(TBSN_PRESETS["base"]), TBSNUNet(TBSN_UNET_PRESETS["base"])
    assert sum(p.numel() for p in network.parameters()) == 12_746_780
    assert len(network.state_dict()) == 416 - 1 - 24  # the file has a mask for the embedding and one for each block
    assert sum(p.numel() for p in student.parameters()) == 1_083_747
    assert len(student.state_dict()) == 36


def test_the_small_preset_is_small() -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in TBSN(TBSN_PRESETS["small"]).parameters()) < 2e6


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (5, 1), (2, 3), (3, 700), (16, 16), (17, 23)])
def test_any_size_is_restored(size: tuple[int, int]) -> None:
    for network in (_tiny(), TBSNUNet(TBSNUNetConfig(width=2)).double()):
        with torch.no_grad():
            restored = network(torch.rand(1, 3, *size, dtype=torch.float64))
        assert restored.shape == (1, 3, *size)
        assert bool(torch.isfinite(restored).all())


@pytest.mark.parametrize(("size", "mode"), [((17, 20), "reflect"), ((5, 40), "replicate"), ((1, 1), "replicate")])
def test_the_right_and_bottom_are_padded(size: tuple[int, int], mode: str) -> None:
    H, W = size
    image = torch.rand(1, 3, H, W, dtype=torch.float64)
    for network in (_tiny(), TBSNUNet(TBSNUNetConfig(width=2)).double()):
        multiple = network.config.multiple
        if mode == "reflect" and (-H % multiple >= H or -W % multiple >= W):
            continue
        padded = F.pad(image, (0, -W % multiple, 0, -H % multiple), mode=mode)
        with torch.no_grad():
            assert torch.equal(network(image), network(padded)[..., :H, :W])


def _in_the_picture(network: TBSN, image: Tensor) -> Tensor:
    """The paper's wiring: dilated convolutions, masks and patch-(un)shuffles, on the picture itself."""

    def feedforward(layer: LatticeFeedForward, x: Tensor) -> Tensor:
        x = F.conv2d(x, layer.expand.weight, layer.expand.bias, padding=2, dilation=2)
        x = 0.5 * x * (1 + torch.erf(x / 2**0.5))
        return F.conv2d(x, layer.project.weight, layer.project.bias, padding=2, dilation=2)

    def blocks(stage: nn.Module, x: Tensor) -> Tensor:
        for block in stage.children():
            assert isinstance(block, DTAB)
            x = x + block.channel_attention(block.norm1(x))
            x = x + feedforward(block.channel_feedforward, block.norm2(x))
            x = x + block.window_attention(block.norm3(x))
            x = x + feedforward(block.window_feedforward, block.norm4(x))
        return x

    e1 = blocks(network.encoders[0], network.embed(image))
    e2 = blocks(network.encoders[1], network.downs[0](e1))
    x = blocks(network.latent, network.downs[1](e2))
    x = blocks(network.decoders[0], network.reductions[0](torch.cat([network.ups[0](x), e2], dim=1)))
    x = blocks(network.decoders[1], torch.cat([network.ups[1](x), e1], dim=1))
    return network.output(blocks(network.refinement, x))


@pytest.mark.parametrize(
    "fields", [{}, {"bias": True, "norm_bias": True, "embed_bias": True, "expansion": 1.5}], ids=str
)
def test_the_lattice_form_is_the_papers_wiring(fields: dict[str, Any]) -> None:
    network, image = _tiny(**fields), 255 * torch.rand(2, 3, 32, 48, dtype=torch.float64)
    with torch.no_grad():
        expected = _in_the_picture(network, image)
        assert_close(network(image), expected)
        with many_stripes():
            assert_close(network(image), expected)


def test_no_image_is_added() -> None:
    network = _tiny()
    with torch.no_grad():
        network.output.weight.zero_()
        assert torch.equal(network(torch.rand(1, 3, 9, 9, dtype=torch.float64)), torch.zeros(1, 3, 9, 9))


def test_its_values_are_0_to_255() -> None:
    """The scale matters: the network is not the same at another."""
    network, image = _tiny(), torch.rand(1, 3, 16, 16, dtype=torch.float64)
    assert network.config.value_range == 255
    assert TBSNUNetConfig().value_range == 1
    with torch.no_grad():
        assert float((network(255 * image) / 255 - network(image)).abs().max()) > 1e-3


def test_the_network_has_no_dilation_and_no_mask_inside() -> None:
    """The blind spot comes from the lattices: only the layer that stands alone dilates its convolution."""
    network = _tiny()
    dilated = {name for name, m in network.named_modules() if isinstance(m, nn.Conv2d) and m.dilation != (1, 1)}
    assert all(name.endswith("channel_attention.depthwise") for name in dilated)
    seen: list[tuple[int, ...]] = []
    original = F.conv2d

    def recorded(*arguments: Any, **keywords: Any) -> Tensor:
        seen.append(keywords.get("dilation", 1))
        return original(*arguments, **keywords)

    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(F, "conv2d", recorded)
        network(torch.rand(1, 3, 16, 16, dtype=torch.float64))
    assert seen
    assert set(seen) <= {1, (1, 1)}


@pytest.mark.parametrize(
    "fields",
    [
        {"blocks": (1, 1)},
        {"channel_heads": (1, 2)},
        {"window_heads": (1, 2)},
        {"overlaps": (8, 8)},
        {"blocks": (1,), "channel_heads": (1,), "window_heads": (1,), "overlaps": (8,)},
        {"blocks": (1, -1, 1)},
        {"refinement": -1},
        {"in_channels": 0},
        {"width": 5, "channel_heads": (1, 1, 1)},
        {"channel_heads": (3, 2, 4)},
        {"channel_heads": (0, 2, 4)},
        {"head_channels": 0},
        {"window": 8, "overlaps": (10, 12, 12)},  # the quarter ratio: odd displacements
        {"window": 4, "overlaps": (6, 8, 8)},
        {"window": 4, "overlaps": (8, 8, 2)},
        {"window": 3, "overlaps": (7, 7, 7)},
        {"window": 0},
        {"window": 2**12, "overlaps": (2**12, 2**12, 2**12)},
        {"expansion": 0.0},
        {"expansion": float("nan")},
        {"bias": 1},
    ],
    ids=str,
)
def test_configurations_that_cannot_run_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        TBSNConfig(**{**TINY, **fields})


@pytest.mark.parametrize(
    "fields", [{"width": 0}, {"in_channels": -1}, {"out_channels": 2**20}, {"width": 4.0}], ids=str
)
def test_students_that_cannot_run_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="whole numbers"):
        TBSNUNetConfig(**fields)


def test_configurations_are_frozen() -> None:
    for config in (TBSNConfig(), TBSNUNetConfig()):
        with pytest.raises(dataclasses.FrozenInstanceError):
            config.width = 3  # type: ignore[misc]


@pytest.mark.parametrize(("width", "channels"), [(4, 3), (6, 1)])
def test_the_student_is_its_plain_equations(width: int, channels: int) -> None:
    config = TBSNUNetConfig(width=width, in_channels=channels, out_channels=channels)
    network = randomise(TBSNUNet(config).double())
    state = {official_name(name): tensor for name, tensor in network.state_dict().items()}
    x = torch.rand(2, channels, 64, 96, dtype=torch.float64)
    with torch.no_grad():
        assert_close(network(x), plain_student(state, x))


def test_the_student_starts_after_he() -> None:
    network = TBSNUNet(TBSNUNetConfig())
    assert all(not bool(p.any()) for name, p in network.named_parameters() if name.endswith("bias"))
    assert float(network.decoders[1][0].weight.detach().std()) == pytest.approx((2 / 1.01 / (144 * 9)) ** 0.5, rel=0.02)
    assert float(network.output.weight.detach().std()) == pytest.approx((1 / 96) ** 0.5, rel=0.15)
