from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from checklist import randomise
from checkpoint_checklist import assert_refused
from contracts import GOLDEN
from pellucid import checkpoints
from pellucid.checkpoints import grl
from pellucid.checkpoints.system import UnstatedError
from pellucid.errors import CheckpointError, UsageError
from pellucid.models.grl import GRL, GRL_PRESETS, GRLConfig
from tolerances import assert_close

State = dict[str, torch.Tensor]
SMALL: dict[str, Any] = {
    "width": 12,
    "depths": (2, 1),
    "window_heads": (2, 3),
    "stripe_heads": (1, 2),
    "mlp_width": 18,
    "window_size": 4,
    "stripe_size": (4, 8),
    "anchor_factor": 2,
}


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def _network(**fields: Any) -> GRL:
    network = randomise(GRL(GRLConfig(**{**SMALL, **fields})))
    assert isinstance(network, GRL)
    return network


def _in_the_authors_layout(network: GRL, *, buffers: bool = True) -> State:
    state = {grl.official_name(name): tensor for name, tensor in network.state_dict().items()}
    assert len(state) == len(network.state_dict())
    return {**state, **(_buffers(network.config) if buffers else {})}


def _buffers(config: GRLConfig) -> State:
    """Shapes of the buffers for fixed stripes, for a training picture of two multiples."""
    w, f, side = config.window_size, config.anchor_factor, 2 * config.multiple
    s0, s1 = (size or side // groups for size, groups in zip(config.stripe_size, config.stripe_groups, strict=True))
    tokens, anchors, stripes = s0 * s1, s0 * s1 // f**2, side**2 // (s0 * s1)
    shift = torch.ones if config.stripe_shift else torch.zeros
    found = {
        "table_w": torch.zeros(1, 2 * w - 1, 2 * w - 1, 2),
        "index_w": torch.zeros(w * w, w * w, dtype=torch.int64),
        "mask_w": torch.ones((side // w) ** 2, w * w, w * w),
    }
    for name, (n0, n1) in {"sh": (s0, s1), "sv": (s1, s0)}.items():
        found[f"table_{name}"] = torch.zeros(1, n0 + n0 // f - 1, n1 + n1 // f - 1, 2)
        found[f"index_{name}_a2w"] = torch.zeros(anchors, tokens, dtype=torch.int64)
        found[f"index_{name}_w2a"] = torch.zeros(tokens, anchors, dtype=torch.int64)
        found[f"mask_{name}_a2w"] = shift(stripes, anchors, tokens)
        found[f"mask_{name}_w2a"] = shift(stripes, tokens, anchors)
    return found


VARIANTS: list[dict[str, Any]] = [
    {},
    {"width": 36, "local": True, "window_heads": (3, 3), "stripe_heads": (9, 2)},
    {"in_channels": 1, "out_channels": 1, "mlp_width": 5},
    {"in_channels": 6},
    {"in_channels": 4, "window_size": 5, "depths": (1, 3)},
    {"depths": (1,), "window_heads": (6,), "stripe_heads": (2,), "stripe_size": (6, 12), "anchor_factor": 3},
    {"upsampler": "pixelshuffle", "scale": 1},
    {"upsampler": "pixelshuffle", "scale": 2, "in_channels": 1},
    {"upsampler": "pixelshuffle", "scale": 3},
    {"upsampler": "pixelshuffle", "scale": 8},
    {"upsampler": "pixelshuffledirect", "scale": 3},
    {"upsampler": "pixelshuffledirect", "scale": 2, "in_channels": 1, "out_channels": 1},
    {"upsampler": "nearest+conv", "scale": 4, "in_channels": 6},
    {"stripe_shift": False},
]


@pytest.mark.parametrize("fields", VARIANTS, ids=str)
def test_a_random_network_comes_back_from_the_authors_layout(fields: dict[str, Any], tmp_path: Path) -> None:
    """Bit for bit, with everything read off the file."""
    network = _network(**fields)
    torch.save({f"model.{name}": t for name, t in _in_the_authors_layout(network).items()}, tmp_path / "authors.pth")
    loaded, image = checkpoints.load(tmp_path / "authors.pth"), torch.rand(1, network.config.in_channels, 9, 14)
    assert loaded.config == network.config
    with torch.no_grad():
        assert torch.equal(loaded(image), network(image))


@pytest.mark.parametrize("preset", GRL_PRESETS)
def test_the_released_networks_are_told_apart_by_their_tensors(preset: str) -> None:
    with torch.device("meta"):
        state = _in_the_authors_layout(GRL(GRL_PRESETS[preset]), buffers=False)
        buffers = _buffers(GRL_PRESETS[preset])
    # Masks are looked into.
    state |= {name: torch.ones(1) if name.startswith("mask") else tensor for name, tensor in buffers.items()}
    assert grl.recognise(state)
    assert grl.infer_config(state) == GRL_PRESETS[preset]


def test_without_buffers_the_geometry_must_be_stated(tmp_path: Path) -> None:
    network, path = _network(stripe_shift=False), tmp_path / "a.pth"
    torch.save(_in_the_authors_layout(network, buffers=False), path)
    with pytest.raises(CheckpointError, match=r"window_size=.*stripe_size=.*anchor_window_down_factor="):
        checkpoints.load(path)
    with pytest.raises(CheckpointError, match=r"give stripe_size=\(64, 64\)"):
        checkpoints.load(path, window_size=4, anchor_window_down_factor=2)
    stated = {"window_size": 4, "stripe_size": [4, 8], "anchor_window_down_factor": 2}
    assert checkpoints.load(path, **stated, stripe_shift=False).config == network.config
    assert checkpoints.load(path, **stated).config.stripe_shift  # as in everything that is released


@pytest.mark.parametrize("buffer", ["table_w", "table_sh", "index_sh_a2w"])
def test_a_single_missing_buffer_leaves_something_unstated(buffer: str) -> None:
    state = _in_the_authors_layout(_network())
    del state[buffer]
    with pytest.raises(UnstatedError, match="give "):
        grl.infer_config(state)


def test_settings_win_over_buffers() -> None:
    state = _in_the_authors_layout(_network())
    stated = {"window_size": 8, "stripe_size": (None, 4), "stripe_groups": (2, None), "stripe_shift": False}
    config = grl.infer_config(state, **stated)
    assert {name: getattr(config, name) for name in stated} == stated
    assert grl.infer_config(state, stripe_groups=(None, 2)).stripe_size == (4, None)
    assert grl.infer_config(state, anchor_window_down_factor=4, stripe_size=(8, 8)).anchor_factor == 4


def test_grouped_stripes_read_as_fixed_ones_without_the_setting() -> None:
    """The authors' buffers do not say it; at the training size both are the same."""
    fixed = checkpoints.load(GOLDEN / "grl_grouped.pth")
    grouped = checkpoints.load(GOLDEN / "grl_grouped.pth", stripe_size=(8, None), stripe_groups=(None, 4))
    assert fixed.config.stripe_size == (8, 8)
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert_close(fixed(image), grouped(image))
        assert grouped(torch.rand(1, 3, 20, 75)).shape == (1, 3, 20, 75)


@pytest.mark.parametrize(
    "setting", [{"window_size": 0}, {"stripe_size": 8}, {"stripe_groups": (2,)}, {"window_size": "x"}]
)
def test_settings_that_make_no_sense_are_refused(setting: dict[str, Any]) -> None:
    assert_refused(GOLDEN / "grl_tiny_sr4.pth", **setting)


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(UsageError, match="window_size, stripe_size, stripe_groups"):
        checkpoints.load(GOLDEN / "grl_tiny_sr4.pth", num_heads=(2, 2))


def test_training_files_with_discriminator_and_metrics(tmp_path: Path) -> None:
    golden = checkpoints.read_weight_file(GOLDEN / "grl_local_denoise.pth").tensors
    state = {f"model_g.{name}": tensor for name, tensor in golden.items()}
    state |= {"model_d.conv0.weight": torch.ones(3), "best_iter": torch.tensor(7), "current_val_metric": torch.ones(())}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "bsr.ckpt")
    described = checkpoints.describe(tmp_path / "bsr.ckpt")
    assert described.dismissed["best_iter"] == described.dismissed["model_d.conv0.weight"] == "serves training only"
    recorded = load_file(GOLDEN / "grl_local_denoise.io.safetensors")
    network = checkpoints.load(tmp_path / "bsr.ckpt")
    assert_close(network(recorded["input"]), recorded["output"], torch.float32)


def test_buffers_are_named_as_rebuilt() -> None:
    described = checkpoints.describe(GOLDEN / "grl_tiny_sr4.pth")
    assert set(described.dismissed.values()) == {"rebuilt from the sizes"}
    assert len(described.dismissed) == 13
    for older in ("relative_coords_table", "relative_position_index", "attn_mask"):
        assert grl.dismiss(f"layers.0.blocks.0.attn.window_attn.{older}") == "rebuilt from the sizes"
    for used in ("conv_last.weight", "table_w.weight", "layers.0.conv.bias", "mask_w_2"):
        assert grl.dismiss(used) is None


def test_names_are_translated_as_the_specification_lists_them() -> None:
    with torch.device("meta"):
        network = GRL(GRLConfig(**{**SMALL, "width": 36, "local": True, "upsampler": "pixelshuffle", "scale": 4}))
        nearest = GRL(GRLConfig(**SMALL, upsampler="nearest+conv", scale=4))
        state = {**_in_the_authors_layout(nearest, buffers=False), **_in_the_authors_layout(network, buffers=False)}
    listed = {
        "conv_first.weight": (36, 3, 3, 3),
        "norm_start.bias": (36,),
        "layers.0.blocks.1.attn.qkv.body.weight": (108, 36),
        "layers.1.blocks.0.attn.anchor.body.0.reduction.weight": (18, 36),
        "layers.0.blocks.0.attn.window_attn.attn_transform.logit_scale": (2, 1, 1),
        "layers.0.blocks.0.attn.stripe_attn.attn_transform1.cpb_mlp.0.weight": (512, 2),
        "layers.0.blocks.0.attn.stripe_attn.attn_transform2.cpb_mlp.0.bias": (512,),
        "layers.1.blocks.0.attn.stripe_attn.attn_transform2.cpb_mlp.2.weight": (2, 512),
        "layers.0.blocks.0.attn.proj.weight": (36, 36),
        "layers.0.blocks.0.norm2.weight": (36,),
        "layers.0.blocks.0.conv.cab.0.weight": (9, 36, 3, 3),
        "layers.0.blocks.0.conv.cab.2.weight": (36, 9, 3, 3),
        "layers.0.blocks.0.conv.cab.3.attention.1.weight": (2, 36, 1, 1),
        "layers.0.blocks.0.conv.cab.3.attention.3.weight": (36, 2, 1, 1),
        "layers.0.blocks.0.mlp.fc1.weight": (18, 36),
        "layers.0.blocks.0.mlp.fc2.bias": (36,),
        "layers.1.conv.weight": (36, 36, 3, 3),
        "norm_end.weight": (36,),
        "conv_after_body.weight": (36, 36, 3, 3),
        "conv_before_upsample.0.weight": (64, 36, 3, 3),
        "upsample.up.0.weight": (256, 64, 3, 3),
        "upsample.up.2.bias": (256,),
        "conv_up1.weight": (64, 64, 3, 3),
        "conv_up2.weight": (64, 64, 3, 3),
        "conv_hr.bias": (64,),
        "conv_last.weight": (3, 64, 3, 3),
    }
    assert {name: tuple(state[name].shape) for name in listed} == listed
    for unknown in ("elsewhere.weight", "stages.0.elsewhere.weight", "stages.0.layers.0.elsewhere.weight"):
        with pytest.raises(KeyError):
            grl.official_name(unknown)


@pytest.mark.parametrize(
    "changes",
    [
        {"upsample.up.0.weight": torch.ones(47, 32, 3, 3)},
        {"table_w": torch.ones(3)},
        {"index_sh_a2w": torch.ones(30, 512)},
        {"index_sh_a2w": torch.ones(0, 512)},
        {"table_sh": torch.ones(1, 7, 7, 2)},
        {"table_w": torch.empty(0).expand(1, 2**40, 1, 0)},
        {"layers.0.blocks.0.mlp.fc1.weight": torch.ones(())},
        {"layers.0.blocks.2.norm1.weight": None},
        {"layers.1.blocks.0.attn.window_attn.attn_transform.logit_scale": None},
        {"norm_end.bias": None},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_tensors_that_do_not_agree_are_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    state = {**checkpoints.read_weight_file(GOLDEN / "grl_tiny_sr4.pth").tensors, **changes}
    torch.save({name: tensor for name, tensor in state.items() if tensor is not None}, tmp_path / "a.pth")
    assert_refused(tmp_path / "a.pth")
