"""TBSN's and its student's files: every hyper-parameter comes back, masks are checked, what is unsafe is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from checklist import randomise
from checkpoint_checklist import assert_refused, assert_same_weights
from contracts import GOLDEN
from pellucid import checkpoints
from pellucid.checkpoints import SYSTEMS, tbsn, tbsn_unet
from pellucid.errors import UsageError
from pellucid.models.tbsn import TBSN, TBSN_PRESETS, TBSNConfig
from pellucid.models.tbsn_unet import TBSN_UNET_PRESETS, TBSNUNet, TBSNUNetConfig

SMALL: dict[str, Any] = {"width": 8, "blocks": (1, 1, 1), "refinement": 1}
State = dict[str, Tensor]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def _network(**fields: Any) -> TBSN:
    network = randomise(TBSN(TBSNConfig(**{**SMALL, **fields})))
    assert isinstance(network, TBSN)
    with torch.no_grad():
        network.embed.convolution.weight[:, :, 1, 1] = 0
    return network


def _mask(window: int, overlap: int) -> Tensor:
    """−∞ where a difference is odd, one by one."""
    mask = torch.full((1, window**2, overlap**2), -torch.inf)
    for i in range(window**2):
        for j in range(overlap**2):
            if (j // overlap - i // window) % 2 == 0 and (j % overlap - i % window) % 2 == 0:
                mask[0, i, j] = 0
    return mask


def _in_the_authors_layout(network: TBSN, masks: bool = True) -> State:
    state = {tbsn.official_name(name): tensor for name, tensor in network.state_dict().items()}
    assert len(state) == len(network.state_dict())
    if masks:
        config = network.config
        state["patch_embed.proj.mask"] = torch.ones_like(state["patch_embed.proj.weight"])
        state["patch_embed.proj.mask"][:, :, 1, 1] = 0
        for name in [name for name in state if name.endswith("rel_height")]:
            overlap = (state[name].shape[0] + 1) // 2
            state[name.replace("rel_pos_emb.rel_height", "fixed_pos_emb.attention_mask")] = _mask(
                config.window, overlap
            )
    return state


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"in_channels": 1, "out_channels": 1, "expansion": 2.0},
        {"in_channels": 4, "out_channels": 3, "expansion": 2.66},
        {"bias": True},
        {"bias": True, "norm_bias": True, "embed_bias": True},
        {"norm_bias": True},
        {"width": 12, "channel_heads": (3, 2, 12), "window_heads": (1, 3, 2), "head_channels": 5},
        {"window": 4, "overlaps": (8, 4, 12)},
        {"window": 8, "overlaps": (12, 16, 12)},
        {"blocks": (2, 1, 3), "refinement": 2},
        {"blocks": (1, 2, 1), "refinement": 0},
    ],
    ids=str,
)
def test_a_random_network_comes_back_from_the_authors_layout(fields: dict[str, Any], tmp_path: Path) -> None:
    network = _network(**fields)
    torch.save({"model_weight": {"denoiser": _in_the_authors_layout(network)}}, tmp_path / "a.pth")
    loaded = checkpoints.load(tmp_path / "a.pth")
    inferred = {**vars(loaded.config), "expansion": network.config.expansion}
    assert inferred == vars(network.config)
    assert_same_weights(tmp_path / "a.pth", network)
    image = 255 * torch.rand(1, network.config.in_channels, 9, 14)
    with torch.no_grad():
        assert torch.equal(loaded(image), network.eval()(image))


@pytest.mark.parametrize("prefix", ["bsn.", "module.", "module.bsn."])
def test_prefixes_are_taken_off(prefix: str, tmp_path: Path) -> None:
    network = _network()
    torch.save({f"{prefix}{name}": t for name, t in _in_the_authors_layout(network).items()}, tmp_path / "a.pth")
    assert_same_weights(tmp_path / "a.pth", network)


def test_the_released_network_is_recognised_by_its_tensors() -> None:
    with torch.device("meta"):
        state = _in_the_authors_layout(TBSN(TBSN_PRESETS["base"]), masks=False)
        student = {tbsn_unet.official_name(n): t for n, t in TBSNUNet(TBSN_UNET_PRESETS["base"]).state_dict().items()}
    assert [name for name, system in SYSTEMS.items() if system.recognise(state)] == ["tbsn"]
    assert tbsn.infer_config(state, window_size=8) == TBSN_PRESETS["base"]
    assert [name for name, system in SYSTEMS.items() if system.recognise(student)] == ["tbsn-unet"]
    assert tbsn_unet.infer_config(student) == TBSN_UNET_PRESETS["base"]


def test_masks_are_named_as_left_out() -> None:
    described = checkpoints.describe(GOLDEN / "tbsn_small.pth")
    assert len(described.dismissed) == 1 + 6
    assert all("mask" in name and "mask" in why for name, why in described.dismissed.items())


@pytest.mark.parametrize("value", [3e-4, float("nan"), float("inf")])
def test_the_centre_tap_is_emptied(value: float, tmp_path: Path) -> None:
    """In a file it holds what the last training step left there, or nothing sensible."""
    network = _network()
    state = {name: tensor.clone() for name, tensor in _in_the_authors_layout(network).items()}
    state["patch_embed.proj.weight"][:, :, 1, 1] = value
    torch.save(state, tmp_path / "a.pth")
    assert_same_weights(tmp_path / "a.pth", network)


def _shifted(mask: Tensor) -> Tensor:
    return mask.roll(1, dims=-1)


def _open(mask: Tensor) -> Tensor:
    opened = mask.clone()
    opened[0, 0, 1] = 0
    return opened


@pytest.mark.parametrize("change", [_shifted, _open, torch.zeros_like, lambda mask: mask[:, :, :-1]])
@pytest.mark.parametrize("stage", ["encoder_level1", "latent", "refinement"])
def test_a_mask_that_is_not_the_formula_is_refused(
    change: Callable[[Tensor], Tensor], stage: str, tmp_path: Path
) -> None:
    state = _in_the_authors_layout(_network())
    name = f"{stage}.0.spatial_attn.fixed_pos_emb.attention_mask"
    torch.save({**state, name: change(state[name])}, tmp_path / "a.pth")
    assert_refused(tmp_path / "a.pth")


@pytest.mark.parametrize("value", [1.0, 0.5])
def test_an_embedding_mask_that_shows_the_centre_is_refused(value: float, tmp_path: Path) -> None:
    state = _in_the_authors_layout(_network())
    state["patch_embed.proj.mask"][0, 0, 1, 1] = value
    torch.save(state, tmp_path / "a.pth")
    assert_refused(tmp_path / "a.pth")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_masks_in_half_precision_are_understood(dtype: torch.dtype, tmp_path: Path) -> None:
    torch.save({name: t.to(dtype) for name, t in _in_the_authors_layout(_network()).items()}, tmp_path / "a.pth")
    assert {p.dtype for p in checkpoints.load(tmp_path / "a.pth").parameters()} == {torch.float32}


def test_without_masks_the_window_must_be_given(tmp_path: Path) -> None:
    network, path = _network(), tmp_path / "a.pth"
    torch.save(_in_the_authors_layout(network, masks=False), path)
    assert_refused(path)
    with pytest.raises(checkpoints.loading.CheckpointError, match=r"window_size=…"):
        checkpoints.load(path)
    loaded = checkpoints.load(path, window_size=8).state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in network.state_dict().items())
    for window in (0, 7, 10, 24, -8, "eight"):
        assert_refused(path, window_size=window)
    with pytest.raises(UsageError, match="window_size"):
        checkpoints.load(path, window=8)


def test_a_window_that_the_masks_deny_is_refused(tmp_path: Path) -> None:
    torch.save(_in_the_authors_layout(_network()), tmp_path / "a.pth")
    assert_refused(tmp_path / "a.pth", window_size=4)
    assert isinstance(checkpoints.load(tmp_path / "a.pth", window_size=8), TBSN)


def test_windows_that_are_not_safe_are_refused(tmp_path: Path) -> None:
    """(8, ¼): the authors' formula would leave the odd displacements, and each pixel would see itself."""
    state = _in_the_authors_layout(_network())
    for name in list(state):
        if "rel_pos_emb" in name:
            state[name] = state[name][:19]
        elif "attention_mask" in name:
            state[name] = _mask(8, 10)
    torch.save(state, tmp_path / "a.pth")
    assert_refused(tmp_path / "a.pth")


def test_an_unknown_parameter_has_no_official_name() -> None:
    for system in (tbsn, tbsn_unet):
        for name in ("elsewhere.weight", "output.more.weight", "latent.weight"):
            with pytest.raises((KeyError, ValueError)):
                system.official_name(name)


@pytest.mark.parametrize("fields", [{}, {"in_channels": 1, "out_channels": 1}, {"in_channels": 4, "width": 6}], ids=str)
def test_a_random_student_comes_back(fields: dict[str, Any], tmp_path: Path) -> None:
    network = randomise(TBSNUNet(TBSNUNetConfig(**{"width": 4, **fields})))
    state = {tbsn_unet.official_name(name): tensor for name, tensor in network.state_dict().items()}
    assert len(state) == 36
    torch.save({"module." + name: tensor for name, tensor in state.items()}, tmp_path / "a.pth")
    assert checkpoints.load(tmp_path / "a.pth").config == network.config
    assert_same_weights(tmp_path / "a.pth", network)
