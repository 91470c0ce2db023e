from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from checklist import randomise
from checkpoint_checklist import assert_refused
from contracts import GOLDEN
from pellucid import checkpoints
from pellucid.checkpoints import cloformer
from pellucid.errors import CheckpointError, UsageError
from pellucid.models.cloformer import CLOFORMER_PRESETS, CloFormer, CloFormerConfig
from tolerances import assert_close

SMALL: dict[str, Any] = {
    "classes": 5,
    "widths": (4, 6, 8, 10),
    "blocks": (1, 1, 2, 1),
    "heads": (2, 3, 2, 5),
    "splits": ((1, 1), (2, 1), (1, 1), (2, 3)),
}
STATED = {"num_heads": SMALL["heads"], "window_sizes": (8, 4, 2, 1)}


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def assert_same(loaded: torch.nn.Module, network: torch.nn.Module) -> None:
    """The same weights to the bit, in the same order; where in memory they lie moves the last bit of what they give."""
    pairs = zip(loaded.state_dict().values(), network.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def _network(**fields: Any) -> CloFormer:
    network = randomise(CloFormer(CloFormerConfig(**{**SMALL, **fields})))
    assert isinstance(network, CloFormer)
    return network


def _in_the_authors_layout(network: CloFormer) -> dict[str, torch.Tensor]:
    state = {cloformer.official_name(name): tensor for name, tensor in network.state_dict().items()}
    assert len(state) == len(network.state_dict())
    return state


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"in_channels": 1, "classes": 1},
        {"splits": ((1, 1), (1, 1, 1), (1, 1), (1, 1, 2, 1)), "kernels": ((3,), (3, 5), (7,), (1, 3, 9))},
        {"splits": ((2,), (3,), (2,), (5,)), "kernels": ((), (), (), ())},
        {"splits": ((2, 0), (2, 1), (2, 0), (5, 0))},
        {"expansions": (4, 3.5, 2, 1), "feedforward_kernels": (5, 5, 3, 3), "blocks": (2, 1, 1, 3)},
        {"pools": (4, 2, 1, 1)},
    ],
    ids=str,
)
def test_a_random_network_comes_back_from_the_authors_layout(fields: dict[str, Any], tmp_path: Path) -> None:
    network = _network(**fields)
    state = _in_the_authors_layout(network)
    torch.save({"model": state, "epoch": 3}, tmp_path / "authors.pth")
    save_file(state, tmp_path / "authors.safetensors")
    image = torch.rand(1, network.config.in_channels, 33, 40)
    settings = {"num_heads": network.config.heads, "window_sizes": list(network.config.pools)}
    with torch.no_grad():
        expected = network(image)
        for path in tmp_path.iterdir():
            loaded = checkpoints.load(path, **settings)
            assert loaded.config == network.config
            assert_same(loaded, network)
            assert_close(loaded(image), expected)


def test_branches_that_are_absent_are_not_numbered(tmp_path: Path) -> None:
    """A split of 0 before a present branch: the file names the present ones only, and gives the same network."""
    splits, kernels = ((0, 1, 1), (2, 1), (1, 1), (2, 3)), ((3, 5), (5,), (7,), (9,))
    network = _network(splits=splits, kernels=kernels)
    state = _in_the_authors_layout(network)
    assert "layers.0.blocks.0.attn.qkvs.0.weight" in state
    torch.save(state, tmp_path / "a.pth")
    loaded, image = checkpoints.load(tmp_path / "a.pth", **STATED), torch.rand(1, 3, 32, 32)
    assert isinstance(loaded, CloFormer)
    assert (loaded.config.splits[0], loaded.config.kernels[0]) == ((1, 1), (5,))
    with torch.no_grad():
        assert_same(loaded, network)
        assert_close(loaded(image), network(image))


@pytest.mark.parametrize("preset", CLOFORMER_PRESETS)
def test_the_published_widths_need_no_settings(preset: str) -> None:
    with torch.device("meta"):
        state = _in_the_authors_layout(CloFormer(CLOFORMER_PRESETS[preset]))
    assert cloformer.recognise(state)
    assert cloformer.infer_config(state) == CLOFORMER_PRESETS[preset]


def test_what_is_given_wins_over_what_was_published() -> None:
    with torch.device("meta"):
        state = _in_the_authors_layout(CloFormer(CLOFORMER_PRESETS["xxs"]))
    config = cloformer.infer_config(state, num_heads=(8, 8, 16, 32), window_sizes=(4, 2, 2, 1))
    assert (config.heads, config.pools) == ((8, 8, 16, 32), (4, 2, 2, 1))
    assert config.splits == ((6, 2), (4, 4), (8, 8), (8, 24))
    assert cloformer.infer_config(state, num_heads=(8, 8, 16, 32)).pools == (8, 4, 2, 1)


def test_what_the_weights_do_not_say_is_asked_for_by_name() -> None:
    path = GOLDEN / "cloformer_small.pth"
    for given, missing in (
        ({}, r"give num_heads=\(…\) and window_sizes=\(…\)"),
        ({"num_heads": (2, 4, 6, 8)}, r"give window_sizes=\(…\)"),
        ({"window_sizes": (8, 4, 2, 1)}, r"give num_heads=\(…\)"),
    ):
        with pytest.raises(CheckpointError, match=missing):
            checkpoints.load(path, **given)
        assert_refused(path, **given)


def test_pools_are_not_asked_for_where_nothing_is_pooled(tmp_path: Path) -> None:
    network = _network(splits=((2, 0), (3, 0), (2, 0), (5, 0)))
    torch.save(_in_the_authors_layout(network), tmp_path / "a.pth")
    loaded = checkpoints.load(tmp_path / "a.pth", num_heads=SMALL["heads"])
    image = torch.rand(1, 3, 20, 9)
    with torch.no_grad():
        assert_same(loaded, network)
        assert_close(loaded(image), network(image))


@pytest.mark.parametrize(
    "settings",
    [
        {**STATED, "num_heads": (2, 3, 2)},
        {**STATED, "num_heads": (3, 3, 2, 5)},
        {**STATED, "num_heads": (1, 3, 2, 5)},
        {**STATED, "num_heads": (0, 3, 2, 5)},
        {**STATED, "num_heads": 2},
        {**STATED, "num_heads": ("2", "3", "2", "5")},
        {**STATED, "window_sizes": (8, 4, 2)},
        {**STATED, "window_sizes": (8, 4, 2, 0)},
        {**STATED, "window_sizes": (8, 4, 2, 1.5)},
    ],
    ids=str,
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, Any], tmp_path: Path) -> None:
    torch.save(_in_the_authors_layout(_network()), tmp_path / "a.pth")
    assert_refused(tmp_path / "a.pth", **settings)


def test_a_setting_that_there_is_not_is_refused(tmp_path: Path) -> None:
    torch.save(_in_the_authors_layout(_network()), tmp_path / "a.pth")
    with pytest.raises(UsageError, match="num_heads, window_sizes, not stripe_size"):
        checkpoints.load(tmp_path / "a.pth", stripe_size=(8, None))


def test_names_are_translated_as_the_specification_lists_them() -> None:
    with torch.device("meta"):
        state = _in_the_authors_layout(CloFormer(CloFormerConfig(**SMALL)))
    listed = {
        "patch_embed.conv1.conv.0.weight": (2, 3, 3, 3),
        "patch_embed.conv4.conv.1.num_batches_tracked": (),
        "patch_embed.conv5.bias": (4,),
        "patch_embed.layernorm.weight": (4,),
        "layers.0.blocks.0.norm1.bias": (4,),
        "layers.1.blocks.0.attn.qkvs.0.weight": (12, 6, 1, 1),
        "layers.1.blocks.0.attn.convs.0.weight": (12, 1, 5, 5),
        "layers.1.blocks.0.attn.act_blocks.0.act_block.0.weight": (4, 4, 1, 1),
        "layers.1.blocks.0.attn.act_blocks.0.act_block.2.bias": (4,),
        "layers.3.blocks.0.attn.global_q.weight": (6, 10, 1, 1),
        "layers.3.blocks.0.attn.global_kv.weight": (12, 10, 1, 1),
        "layers.2.blocks.1.attn.proj.weight": (8, 8, 1, 1),
        "layers.2.blocks.0.mlp.fc1.weight": (32, 8, 1, 1),
        "layers.2.blocks.1.mlp.fc2.weight": (10, 32, 1, 1),
        "layers.2.blocks.1.downsample.0.weight": (8, 8, 5, 5),
        "layers.2.blocks.1.downsample.1.running_var": (8,),
        "layers.2.blocks.1.downsample.2.weight": (10, 8, 1, 1),
        "norm.weight": (10,),
        "head.weight": (5, 10),
    }
    assert {name: tuple(state[name].shape) for name in listed} == listed


@pytest.mark.parametrize("name", ["elsewhere.weight", "stages.0.blocks.0.elsewhere.weight", "stem.9.weight"])
def test_an_unknown_parameter_has_no_official_name(name: str) -> None:
    with pytest.raises(KeyError):
        cloformer.official_name(name)


def test_other_papers_weights_are_not_taken_for_it() -> None:
    for path in GOLDEN.glob("*.pth"):
        tensors = checkpoints.read_weight_file(path).tensors
        recognising = [name for name, system in checkpoints.SYSTEMS.items() if system.recognise(tensors)]
        assert ("cloformer" in recognising) == path.name.startswith("cloformer")
        assert len(recognising) <= 1
