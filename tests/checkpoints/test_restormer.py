from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from checklist import randomise
from checkpoint_checklist import WRAPPERS, assert_refused, assert_same_weights
from contracts import GOLDEN
from pellucid import checkpoints
from pellucid.checkpoints import restormer
from pellucid.errors import PellucidError
from pellucid.models.restormer import RESTORMER_PRESETS, Restormer, RestormerConfig
from tolerances import assert_close

SMALL: dict[str, Any] = {"width": 8, "blocks": (1, 1, 1, 1), "heads": (1, 2, 2, 4), "refinement": 1}


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def _network(**fields: Any) -> Restormer:
    network = randomise(Restormer(RestormerConfig(**{**SMALL, **fields})))
    assert isinstance(network, Restormer)
    return network


def _in_the_authors_layout(network: Restormer) -> dict[str, torch.Tensor]:
    state = {restormer.official_name(name): tensor for name, tensor in network.state_dict().items()}
    assert len(state) == len(network.state_dict())
    return state


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"norm_bias": False, "expansion": 2.0},
        {"in_channels": 1, "out_channels": 1, "expansion": 3.0},
        {"bias": True, "expansion": 4.0},
        {"bias": True, "norm_bias": False},
        {"in_channels": 6, "dual_pixel": True, "expansion": 1.5},
        {"in_channels": 6, "dual_pixel": True, "bias": True},
        {"width": 12, "heads": (3, 2, 12, 8)},
        {"width": 10, "heads": (1, 1, 1, 1), "expansion": 2.1234567},
        {"blocks": (2, 1, 3, 2), "refinement": 2},
    ],
    ids=str,
)
def test_a_random_network_comes_back_from_the_authors_layout(fields: dict[str, Any], tmp_path: Path) -> None:
    """Bit for bit, from a PyTorch and from a safetensors file."""
    network = _network(**fields)
    state = _in_the_authors_layout(network)
    torch.save({"params": state}, tmp_path / "authors.pth")
    save_file(state, tmp_path / "authors.safetensors")
    image = torch.rand(1, network.config.in_channels, 9, 14)
    with torch.no_grad():
        expected = network(image)
        for path in tmp_path.iterdir():
            loaded = checkpoints.load(path)
            assert isinstance(loaded, Restormer)
            inferred = {**vars(loaded.config), "expansion": network.config.expansion}
            assert inferred == vars(network.config)
            assert torch.equal(loaded(image), expected)


def _shapes(config: RestormerConfig) -> dict[str, torch.Size]:
    with torch.device("meta"):
        return {name: tensor.shape for name, tensor in Restormer(config).state_dict().items()}


@settings(deadline=None, derandomize=True, database=None, max_examples=40)
@given(half_width=st.integers(1, 64), expansion=st.floats(0.5, 6.0))
@example(half_width=23, expansion=2.66)  # int(C · (m / C)) misses m at 46 and 92 channels
@example(half_width=4, expansion=3 - 1e-12)
@example(half_width=24, expansion=8 / 3)
@example(half_width=500, expansion=2.6666)
def test_any_expansion_factor_gives_back_the_hidden_widths(half_width: int, expansion: float) -> None:
    fields = {**SMALL, "width": 2 * half_width, "heads": (1, 1, 1, 1), "expansion": expansion}
    with torch.device("meta"):
        state = _in_the_authors_layout(Restormer(RestormerConfig(**fields)))
    assert _shapes(restormer.infer_config(state)) == _shapes(RestormerConfig(**fields))


def test_the_papers_expansion_factor_is_preferred() -> None:
    state = torch.load(GOLDEN / "restormer_color_biasfree.pth", weights_only=True)["params"]
    assert restormer.infer_config(state).expansion == 2.66


@pytest.mark.parametrize("preset", ["base", "base-denoise", "base-denoise-grey", "base-dual-pixel"])
def test_the_released_networks_are_told_apart_by_their_tensors(preset: str) -> None:
    with torch.device("meta"):
        state = _in_the_authors_layout(Restormer(RESTORMER_PRESETS[preset]))
    assert restormer.recognise(state)
    assert restormer.infer_config(state) == RESTORMER_PRESETS[preset]


def test_names_are_translated_as_the_specification_lists_them() -> None:
    with torch.device("meta"):
        state = _in_the_authors_layout(_meta_dual_pixel())
    listed = {
        "patch_embed.proj.weight": (8, 6, 3, 3),
        "encoder_level2.0.norm1.body.weight": (16,),
        "encoder_level2.0.norm2.body.bias": (16,),
        "decoder_level2.0.attn.temperature": (2, 1, 1),
        "decoder_level1.0.attn.qkv.weight": (48, 16, 1, 1),
        "decoder_level3.0.attn.qkv_dwconv.weight": (96, 1, 3, 3),
        "latent.0.attn.project_out.weight": (64, 64, 1, 1),
        "encoder_level1.0.ffn.project_in.weight": (42, 8, 1, 1),
        "encoder_level3.0.ffn.dwconv.weight": (170, 1, 3, 3),
        "refinement.0.ffn.project_out.weight": (16, 42, 1, 1),
        "down1_2.body.0.weight": (4, 8, 3, 3),
        "down2_3.body.0.weight": (8, 16, 3, 3),
        "down3_4.body.0.weight": (16, 32, 3, 3),
        "up4_3.body.0.weight": (128, 64, 3, 3),
        "up3_2.body.0.weight": (64, 32, 3, 3),
        "up2_1.body.0.weight": (32, 16, 3, 3),
        "reduce_chan_level3.weight": (32, 64, 1, 1),
        "reduce_chan_level2.weight": (16, 32, 1, 1),
        "skip_conv.weight": (16, 8, 1, 1),
        "output.weight": (3, 16, 3, 3),
    }
    assert {name: tuple(state[name].shape) for name in listed} == listed


def _meta_dual_pixel() -> Restormer:
    return Restormer(RestormerConfig(**{**SMALL, "in_channels": 6, "dual_pixel": True}))


def test_an_unknown_parameter_has_no_official_name() -> None:
    with pytest.raises(KeyError):
        restormer.official_name("elsewhere.weight")


def test_decoder_blocks_that_disagree_with_the_encoder_are_refused(tmp_path: Path) -> None:
    state = _in_the_authors_layout(_network(blocks=(1, 2, 1, 1)))
    torch.save({name: t for name, t in state.items() if not name.startswith("decoder_level2.1.")}, tmp_path / "a.pth")
    assert_refused(tmp_path / "a.pth")


def test_widths_without_a_common_expansion_factor_are_refused(tmp_path: Path) -> None:
    state, other = (_in_the_authors_layout(_network(expansion=expansion)) for expansion in (2.0, 3.0))
    mixed = {name: other[name] if name.startswith("latent.") else tensor for name, tensor in state.items()}
    torch.save({"params": mixed}, tmp_path / "a.pth")
    assert_refused(tmp_path / "a.pth")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("preset", ["small"])
def test_our_presets_survive_saving_and_loading(preset: str, dtype: torch.dtype, tmp_path: Path) -> None:
    network, path = randomise(checkpoints.create("restormer", preset=preset)), tmp_path / "own.safetensors"
    checkpoints.save(network, "restormer", path, dtype=dtype)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    loaded, image = checkpoints.load(str(path)), torch.rand(1, 3, 19, 22)
    assert loaded.config == RESTORMER_PRESETS[preset]
    assert not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    if dtype == torch.float32:
        assert_same_weights(path, network)
    with torch.no_grad():
        assert_close(loaded(image), network(image), dtype)


def test_loading_half_precision_of_the_authors_gives_float32(tmp_path: Path) -> None:
    state = {name: tensor.half() for name, tensor in _in_the_authors_layout(_network()).items()}
    for name, wrap in WRAPPERS.items():
        torch.save(wrap(state), tmp_path / name)
        assert {p.dtype for p in checkpoints.load(tmp_path / name).parameters()} == {torch.float32}


def test_parameters_and_strided_tensors_are_taken_as_tensors(tmp_path: Path) -> None:
    network = _network()
    state = {
        name: torch.nn.Parameter(tensor.mT.contiguous().mT if tensor.ndim > 1 else tensor)
        for name, tensor in _in_the_authors_layout(network).items()
    }
    torch.save(state, tmp_path / "a.pth")
    assert_same_weights(tmp_path / "a.pth", network)


def test_saving_over_the_file_that_was_loaded(tmp_path: Path) -> None:
    """The tensors may still be views of the file."""
    network, path = _network(), tmp_path / "own.safetensors"
    for _ in range(2):
        checkpoints.save(network, "restormer", path)
        network = checkpoints.load(path)
    assert_same_weights(path, network)


def test_saving_where_there_is_no_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PellucidError, match="nowhere"):
        checkpoints.save(_network(), "restormer", tmp_path / "nowhere" / "own.safetensors")


@pytest.mark.parametrize(("system", "preset"), [("restormer", "huge"), ("nothing", "base"), ("restormer", "")])
def test_creating_what_does_not_exist_is_refused(system: str, preset: str) -> None:
    with pytest.raises(PellucidError, match=r"There is no system|has no preset"):
        checkpoints.create(system, preset=preset)
