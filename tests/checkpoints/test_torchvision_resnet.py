"""The encoder from files laid out as torchvision's; the names are written out here as the specification lists them."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from catnet_equations import random_values
from pellucid.checkpoints.torchvision_resnet import describe_encoder, load_encoder, official_name
from pellucid.errors import CheckpointError
from pellucid.layers import DilatedResNet
from pellucid.models.catnet import CATNET_PRESETS, CATNet, CATNetConfig

BLOCKS, WIDTH = (2, 1, 3, 2), 2


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def _encoder() -> DilatedResNet:
    encoder = DilatedResNet(BLOCKS, WIDTH)
    encoder.load_state_dict(random_values(encoder.state_dict(), torch.Generator().manual_seed(0)))
    return encoder.eval()


def _norm(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    parameters = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{p}": (channels,) for p in parameters} | {f"{name}.num_batches_tracked": ()}


def _listed() -> dict[str, tuple[int, ...]]:
    """Names and shapes of a ResNet of bottlenecks."""
    shapes = {"conv1.weight": (WIDTH, 3, 7, 7), **_norm("bn1", WIDTH)}
    channels = WIDTH
    for stage, count in enumerate(BLOCKS):
        inner = WIDTH * 2**stage
        for block in range(count):
            at = f"layer{stage + 1}.{block}"
            shapes |= {f"{at}.conv1.weight": (inner, channels, 1, 1), **_norm(f"{at}.bn1", inner)}
            shapes |= {f"{at}.conv2.weight": (inner, inner, 3, 3), **_norm(f"{at}.bn2", inner)}
            shapes |= {f"{at}.conv3.weight": (4 * inner, inner, 1, 1), **_norm(f"{at}.bn3", 4 * inner)}
            if block == 0:
                shapes |= {f"{at}.downsample.0.weight": (4 * inner, channels, 1, 1)}
                shapes |= _norm(f"{at}.downsample.1", 4 * inner)
            channels = 4 * inner
    return shapes


def _theirs(encoder: DilatedResNet) -> dict[str, Tensor]:
    return {official_name(name): tensor for name, tensor in encoder.state_dict().items()}


def test_names_and_shapes_are_those_listed() -> None:
    assert {name: tuple(t.shape) for name, t in _theirs(_encoder()).items()} == _listed()


@pytest.mark.parametrize("prefix", ["", "backbone."])
def test_a_resnet_comes_back_bit_for_bit_alone_or_in_a_segmentation_network(prefix: str, tmp_path: Path) -> None:
    encoder, image = _encoder(), torch.randn(1, 3, 33, 40)
    state = {f"{prefix}{name}": t for name, t in _theirs(encoder).items()}
    heads = ("classifier.4.weight", "aux_classifier.0.weight") if prefix else ("fc.weight", "fc.bias")
    others = {name: torch.ones(3) for name in heads}
    torch.save({**state, **others}, tmp_path / "resnet.pth")
    save_file({**state, **others}, tmp_path / "resnet.safetensors")
    for path in tmp_path.iterdir():
        loaded = load_encoder(path)
        assert not loaded.training
        assert all(p.requires_grad for p in loaded.parameters())
        with torch.no_grad():
            assert torch.equal(loaded(image), encoder(image))
        described = describe_encoder(path)
        assert (described.blocks, described.width) == (BLOCKS, WIDTH)
        assert described.dismissed.keys() == others.keys()
        assert all(described.dismissed.values())


def test_old_files_without_counters_and_half_precision_are_taken(tmp_path: Path) -> None:
    state = {name: t for name, t in _theirs(_encoder()).items() if not name.endswith("num_batches_tracked")}
    torch.save({name: t.half() for name, t in state.items()}, tmp_path / "old.pth")
    loaded = load_encoder(tmp_path / "old.pth").state_dict()
    assert {t.dtype for t in loaded.values() if t.is_floating_point()} == {torch.float32}
    assert all(int(t) == 0 for name, t in loaded.items() if name.endswith("num_batches_tracked"))


def test_the_encoder_goes_into_the_network(tmp_path: Path) -> None:
    torch.save(_theirs(_encoder()), tmp_path / "resnet.pth")
    config = CATNetConfig(blocks=BLOCKS, features=32 * WIDTH, channels=8, iterations=1, key_channels=4)
    network = CATNet(config, load_encoder(tmp_path / "resnet.pth"))
    assert network.state_dict().keys() == CATNet(config).state_dict().keys()


def test_the_presets_are_the_resnets_of_torchvision() -> None:
    for preset, tensors in (("base", 624), ("resnet50", 318)):
        with torch.device("meta"):
            encoder = CATNet(CATNET_PRESETS[preset]).encoder
        assert len(encoder.state_dict()) == tensors


def _assert_refused(path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        load_encoder(path)
    assert path.name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["conv1.weight", "layer2.0.bn3.running_var", "layer3.1.conv1.weight"])
def test_misfits_are_refused(name: str, tmp_path: Path) -> None:
    state, path = _theirs(_encoder()), tmp_path / "misfit.pth"
    others = {key: t for key, t in state.items() if key != name}
    for misfit in (
        others,
        {**state, f"{name}_2": state[name]},
        {**others, name: state[name][None]},
        {**others, name: torch.full_like(state[name], torch.nan)},
        {**others, name: state[name].to(torch.int64)},
    ):
        torch.save(misfit, path)
        _assert_refused(path)


def test_other_networks_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    without_third = {
        name: t for name, t in _theirs(_encoder()).items() if ".conv3." not in name and ".bn3." not in name
    }
    for state in (without_third, {"fc.weight": torch.ones(2, 2)}, {"a": torch.ones(1)}):
        torch.save(state, path)
        _assert_refused(path)
