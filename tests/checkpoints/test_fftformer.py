from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from checklist import randomise
from checkpoint_checklist import assert_refused
from contracts import GOLDEN
from pellucid import checkpoints
from pellucid.checkpoints import fftformer
from pellucid.models.fftformer import FFTFORMER_PRESETS, FFTformer, FFTformerConfig
from tolerances import assert_close

SMALL: dict[str, Any] = {"width": 4, "blocks": (1, 1, 1), "refinement": 1}


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def _network(**fields: Any) -> FFTformer:
    network = randomise(FFTformer(FFTformerConfig(**{**SMALL, **fields})))
    assert isinstance(network, FFTformer)
    return network


def _in_the_authors_layout(network: FFTformer) -> dict[str, torch.Tensor]:
    state = {
        fftformer.official_name(name): tensor[:, None, None] if name.endswith("spectral_weight") else tensor
        for name, tensor in network.state_dict().items()
    }
    assert len(state) == len(network.state_dict())
    return state


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"expansion": 2.66, "refinement": 0},
        {"in_channels": 1, "out_channels": 1, "bias": True},
        {"width": 5, "expansion": 1.7},
        {"blocks": (2, 1, 3), "refinement": 2},
    ],
    ids=str,
)
def test_a_random_network_comes_back_from_the_authors_layout(fields: dict[str, Any], tmp_path: Path) -> None:
    network = _network(**fields)
    torch.save(_in_the_authors_layout(network), tmp_path / "authors.pth")
    image = torch.rand(1, network.config.in_channels, 9, 14)
    loaded = checkpoints.load(tmp_path / "authors.pth")
    assert isinstance(loaded, FFTformer)
    assert {**vars(loaded.config), "expansion": network.config.expansion} == vars(network.config)
    with torch.no_grad():
        assert torch.equal(loaded(image), network(image))


def _shapes(config: FFTformerConfig) -> dict[str, torch.Size]:
    with torch.device("meta"):
        return {name: tensor.shape for name, tensor in FFTformer(config).state_dict().items()}


@settings(deadline=None, derandomize=True, database=None, max_examples=30)
@given(width=st.integers(1, 96), expansion=st.floats(1.0, 6.0))
@example(width=46, expansion=2.66)  # int(C · (m / C)) misses m at 46 and 92 channels
@example(width=4, expansion=3 - 1e-12)
def test_any_expansion_factor_gives_back_the_hidden_widths(width: int, expansion: float) -> None:
    fields = {**SMALL, "width": width, "expansion": expansion}
    with torch.device("meta"):
        state = _in_the_authors_layout(FFTformer(FFTformerConfig(**fields)))
    assert _shapes(fftformer.infer_config(state)) == _shapes(FFTformerConfig(**fields))


def test_the_released_network_is_inferred_from_its_tensors() -> None:
    with torch.device("meta"):
        state = _in_the_authors_layout(FFTformer(FFTFORMER_PRESETS["base"]))
    assert len(state) == 535
    assert fftformer.recognise(state)
    assert fftformer.infer_config(state) == FFTFORMER_PRESETS["base"]


def test_only_fftformers_are_recognised() -> None:
    for path in GOLDEN.glob("*.pth"):
        tensors = checkpoints.read_weight_file(path).tensors
        assert fftformer.recognise(tensors) == path.stem.startswith("fftformer")


def test_names_are_translated_as_the_specification_lists_them() -> None:
    with torch.device("meta"):
        state = _in_the_authors_layout(FFTformer(FFTformerConfig(**{**SMALL, "bias": True})))
    listed = {
        "patch_embed.proj.weight": (4, 3, 3, 3),
        "decoder_level3.0.norm1.body.weight": (16,),
        "decoder_level2.0.attn.to_hidden.weight": (48, 8, 1, 1),
        "decoder_level1.0.attn.to_hidden_dw.weight": (24, 1, 3, 3),
        "refinement.0.attn.norm.body.bias": (8,),
        "refinement.0.attn.project_out.weight": (4, 8, 1, 1),
        "encoder_level2.0.norm2.body.weight": (8,),
        "encoder_level1.0.ffn.fft": (24, 1, 1, 8, 5),
        "encoder_level3.0.ffn.project_in.bias": (96,),
        "encoder_level1.0.ffn.dwconv.weight": (24, 1, 3, 3),
        "encoder_level1.0.ffn.project_out.weight": (4, 12, 1, 1),
        "down1_2.body.1.weight": (8, 4, 3, 3),
        "down2_3.body.1.weight": (16, 8, 3, 3),
        "up3_2.body.1.weight": (8, 16, 3, 3),
        "up2_1.body.1.weight": (4, 8, 3, 3),
        "fuse2.conv.weight": (16, 16, 1, 1),
        "fuse1.conv2.bias": (8,),
        "fuse2.att_channel.norm2.body.weight": (16,),
        "fuse1.att_channel.ffn.fft": (42, 1, 1, 8, 5),
        "reduce_chan_level2.weight": (8, 16, 1, 1),
        "output.bias": (3,),
    }
    assert {name: tuple(state[name].shape) for name in listed} == listed
    assert "encoder_level1.0.norm1.body.weight" not in state


def test_an_unknown_parameter_has_no_official_name() -> None:
    with pytest.raises(KeyError):
        fftformer.official_name("elsewhere.weight")


def test_a_decoder_that_disagrees_with_the_encoder_is_refused(tmp_path: Path) -> None:
    state = _in_the_authors_layout(_network(blocks=(1, 2, 1)))
    torch.save({name: t for name, t in state.items() if not name.startswith("decoder_level2.1.")}, tmp_path / "a.pth")
    assert_refused(tmp_path / "a.pth")


@pytest.mark.parametrize("bins", [(16, 9), (8, 8), (5, 8)])
def test_patches_of_another_size_are_refused(bins: tuple[int, int], tmp_path: Path) -> None:
    state = {
        name: torch.ones(*tensor.shape[:3], *bins) if name.endswith(".fft") else tensor
        for name, tensor in _in_the_authors_layout(_network()).items()
    }
    torch.save(state, tmp_path / "a.pth")
    assert_refused(tmp_path / "a.pth")


def test_widths_without_a_common_expansion_factor_are_refused(tmp_path: Path) -> None:
    state, other = (_in_the_authors_layout(_network(expansion=expansion)) for expansion in (2.0, 3.0))
    mixed = {name: other[name] if "level3" in name else tensor for name, tensor in state.items()}
    torch.save({"params": mixed}, tmp_path / "a.pth")
    assert_refused(tmp_path / "a.pth")


def test_our_small_preset_survives_saving_and_loading(tmp_path: Path) -> None:
    network, path = randomise(checkpoints.create("fftformer", preset="small")), tmp_path / "own.safetensors"
    checkpoints.save(network, "fftformer", path)
    loaded, image = checkpoints.load(path), torch.rand(1, 3, 19, 22)
    assert loaded.config == FFTFORMER_PRESETS["small"]
    with torch.no_grad():
        assert_close(loaded(image), network(image))
