"""CAT-Net's layers against its equations written out, and what must hold of masks and shots."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import catnet_equations as equations
from checklist import randomise
from pellucid.layers import CMAT, MIFE, CrossMaskedAttention, DilatedResNet, PrototypeHead
from tolerances import assert_close


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def _double(module: nn.Module) -> Any:
    return randomise(module.double())


def _episode(shots: int = 2, channels: int = 6) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Two episodes: features of the shots, of the queries, and masks of both, each of its own size."""
    support, query = torch.randn(2 * shots, channels, 5, 4), torch.randn(2, channels, 3, 7)
    masks = (torch.rand(2 * shots, 1, 40, 31) > 0.6), (torch.rand(2, 1, 24, 56) > 0.5)
    return support.double(), query.double(), *(mask.double() for mask in masks)


def _one(episode: tuple[Tensor, ...], b: int, shots: int = 2) -> tuple[list[Tensor], Tensor, list[Tensor], Tensor]:
    """Episode b as the equations take it."""
    support, query, masks, query_mask = episode
    own = slice(b * shots, (b + 1) * shots)
    return list(support[own]), query[b], list(masks[own, 0]), query_mask[b, 0]


@pytest.mark.parametrize("shots", [1, 2, 3])
def test_mife_is_its_equation(shots: int) -> None:
    layer, episode = _double(MIFE(6)), _episode(shots)
    F_s, F_q, rho = layer(*episode[:3])
    for b in range(2):
        expected = equations.mife(layer.state_dict(), *_one(episode, b, shots)[:3])
        assert_close(F_s[b * shots : (b + 1) * shots], torch.stack(expected[0]))
        assert_close(F_q[b], expected[1])
        assert_close(rho[b, 0], expected[2])


@pytest.mark.parametrize("shots", [1, 3])
@pytest.mark.parametrize("mask_mode", ["rows", "keys"])
@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("shared", [False, True])
def test_cmat_is_its_equation(shots: int, mask_mode: str, heads: int, shared: bool) -> None:
    layer, episode = _double(CMAT(6, 4, heads, mask_mode, shared=shared)), _episode(shots)
    for mode in (torch.no_grad, torch.enable_grad):
        with mode():
            F_s, F_q = layer(*episode)
        for b in range(2):
            shots_b, query, masks, query_mask = _one(episode, b, shots)
            expected = equations.cmat(layer.state_dict(), shots_b, query, masks, query_mask, heads, mask_mode)
            assert_close(F_s[b * shots : (b + 1) * shots], torch.stack(expected[0]))
            assert_close(F_q[b], expected[1])


@pytest.mark.parametrize("mask_mode", ["rows", "keys"])
def test_cross_masked_attention_is_its_equation(mask_mode: str) -> None:
    layer, (x, source, mask, source_mask) = _double(CrossMaskedAttention(6, 4, 2, mask_mode)), _episode(1)
    mask = mask if mask_mode == "rows" else source_mask
    out = layer(x, source, mask)
    for b in range(2):
        tokens, others = x[b].flatten(1).T, source[b].flatten(1).T
        small = equations.nearest(mask[b, 0], x[b] if mask_mode == "rows" else source[b])
        expected = equations.cross(layer.state_dict(), tokens, others, small, 2, mask_mode)
        assert_close(out[b], expected.T.view_as(x[b]))


@pytest.mark.parametrize("shots", [1, 2, 3])
@pytest.mark.parametrize("kind", ["threshold", "softmax"])
def test_the_head_is_its_equation(shots: int, kind: str) -> None:
    layer, episode = _double(PrototypeHead(kind, alpha=7.0)), _episode(shots)
    rho = layer(*episode[:3])
    for b in range(2):
        assert_close(rho[b, 0], equations.head(layer.state_dict(), *_one(episode, b, shots)[:3], 7.0))


@pytest.mark.parametrize("blocks", [(1, 1, 1, 1), (2, 1, 2, 3)])
def test_the_encoder_is_its_equation(blocks: tuple[int, ...]) -> None:
    encoder, x = _double(DilatedResNet(blocks, width=2)), torch.randn(2, 3, 37, 50, dtype=torch.float64)
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean, module.running_var = torch.randn_like(module.bias), module.bias.detach().exp()
    assert encoder(x).shape == (2, 64, 5, 7)
    with torch.no_grad():
        assert_close(encoder(x), equations.encoder(encoder.state_dict(), x))


def test_the_encoders_have_the_known_numbers_of_parameters() -> None:
    for blocks, parameters in (((3, 4, 23, 3), 42_500_160), ((3, 4, 6, 3), 23_508_032)):
        with torch.device("meta"):
            encoder = DilatedResNet(blocks)
        assert sum(p.numel() for p in encoder.parameters()) == parameters


def test_background_rows_receive_only_their_residual() -> None:
    layer, (x, source, _, _) = _double(CrossMaskedAttention(6)), _episode(1)
    mask = torch.zeros(2, 1, 5, 4)
    mask[:, :, 1:3] = 1
    out = layer(x, source, mask)
    assert torch.equal(out * (1 - mask), torch.zeros_like(out))
    assert bool((out[:, :, 1:3] != 0).all())


def test_what_is_behind_a_mask_of_rows_is_seen_all_the_same() -> None:
    """The mask gates who receives, not who gives: every pixel of the other picture counts."""
    layer, (x, source, mask, _) = _double(CrossMaskedAttention(6)), _episode(1)
    moved = source.clone()
    moved[:, :, 0, 0] += 1
    assert not torch.allclose(layer(x, source, mask), layer(x, moved, mask))


def test_masked_keys_give_nothing() -> None:
    layer, (x, source, _, _) = _double(CrossMaskedAttention(6, mask_mode="keys")), _episode(1)
    mask = torch.ones(2, 1, 3, 7)
    mask[:, :, 0, 0] = 0
    moved = source.clone()
    moved[:, :, 0, 0] += 1
    assert_close(layer(x, source, mask), layer(x, moved, mask))


@pytest.mark.parametrize("make", [lambda: MIFE(6), lambda: PrototypeHead(alpha=3.0), lambda: CMAT(6)])
def test_the_same_shot_several_times_is_one_shot(make: Any) -> None:
    layer, (support, query, mask, query_mask) = _double(make()), _episode(1)
    more = (query_mask,) if isinstance(layer, CMAT) else ()
    once = layer(support, query, mask, *more)
    thrice = layer(support.repeat_interleave(3, 0), query, mask.repeat_interleave(3, 0), *more)
    for mine, wanted in zip(*((t,) if isinstance(t, Tensor) else t for t in (thrice, once)), strict=True):
        assert_close(mine[:: mine.shape[0] // 2] if mine.shape[0] > 2 else mine, wanted)


def test_the_order_of_shots_does_not_matter() -> None:
    layer, (support, query, mask, query_mask) = _double(CMAT(6)), _episode(3)
    order = [2, 0, 1, 4, 5, 3]
    F_s, F_q = layer(support, query, mask, query_mask)
    other_s, other_q = layer(support[order], query, mask[order], query_mask)
    assert_close(other_s, F_s[order])
    assert_close(other_q, F_q)


def test_prototypes_of_shots_are_averaged_not_their_pixels() -> None:
    """A shot with a small organ counts as much as one with a large organ."""
    head, query = PrototypeHead(alpha=3.0).double(), torch.randn(1, 4, 2, 2, dtype=torch.float64)
    support, mask = torch.randn(2, 4, 3, 3, dtype=torch.float64), torch.zeros(2, 1, 3, 3, dtype=torch.float64)
    mask[0, 0, 0, 0], mask[1, 0] = 1, 1
    p = (support[0, :, 0, 0] / (1 + 1e-5) + support[1].mean((1, 2)) * 9 / (9 + 1e-5)) / 2
    cosine = torch.nn.functional.cosine_similarity(query, p.view(1, 4, 1, 1), dim=1)
    assert_close(head(support, query, mask)[:, 0], torch.sigmoid((3 * cosine - 10) / 2))


def test_an_empty_mask_segments_nothing() -> None:
    support, query, mask, _ = _episode(1)
    rho = PrototypeHead().double()(support, query, 0 * mask)
    assert_close(rho, torch.sigmoid(torch.full_like(rho, -5)))


def test_the_threshold_starts_at_minus_ten() -> None:
    assert torch.equal(PrototypeHead().state_dict()["t"], torch.tensor([-10.0]))
    assert not list(PrototypeHead("softmax").parameters())


def test_masks_are_constants_for_the_gradient() -> None:
    support, query, mask, query_mask = (t.requires_grad_() for t in _episode(1))
    outputs = [*CMAT(6).double()(support, query, mask, query_mask), PrototypeHead().double()(support, query, mask)]
    outputs += MIFE(6).double()(support, query, mask)
    total = torch.stack([out.sum() for out in outputs]).sum()
    assert torch.autograd.grad(total, [mask, query_mask], allow_unused=True, retain_graph=True) == (None, None)
    assert all(bool((g != 0).any()) for g in torch.autograd.grad(total, [support, query]))


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float32])
def test_masks_may_be_of_any_type(dtype: torch.dtype) -> None:
    support, query, mask, query_mask = (t.float() for t in _episode(1))
    for layer, masks in ((CMAT(6), (mask, query_mask)), (MIFE(6), (mask,)), (PrototypeHead(), (mask,))):
        expected = layer(support, query, *masks)
        actual = layer(support, query, *(m.to(dtype) for m in masks))
        for mine, wanted in zip(*((t,) if isinstance(t, Tensor) else t for t in (actual, expected)), strict=True):
            assert torch.equal(mine, wanted)


@pytest.mark.parametrize(
    "make",
    [
        lambda: CMAT(6, heads=4),
        lambda: CMAT(8, key_channels=3, heads=2),
        lambda: CrossMaskedAttention(6, mask_mode="columns"),
        lambda: PrototypeHead("maximum"),
        lambda: DilatedResNet((1, 1, 1)),
        lambda: DilatedResNet((1, 0, 1, 1)),
    ],
)
def test_layers_that_cannot_be_are_refused(make: Any) -> None:
    with pytest.raises(ValueError, match=r"must|divide"):
        make()


@pytest.mark.parametrize(("x", "source"), [((3, 6, 4, 4), (2, 6, 4, 4)), ((2, 6, 4, 4), (2, 5, 4, 4))])
def test_batches_that_are_no_multiples_are_refused(x: tuple[int, ...], source: tuple[int, ...]) -> None:
    """Stacking six rows of two pictures out of three would not fail by itself."""
    with pytest.raises(ValueError, match="multiple"):
        CrossMaskedAttention(6)(torch.ones(x), torch.ones(source), torch.ones(x[0], 1, 4, 4))


@pytest.mark.parametrize(
    ("support", "query", "mask"),
    [((3, 6, 4, 4), (2, 6, 4, 4), (3, 1, 4, 4)), ((2, 6, 4, 4), (2, 5, 4, 4), (2, 1, 4, 4)),
     ((2, 6, 4, 4), (2, 6, 4, 4), (1, 1, 4, 4)), ((2, 6, 4, 4), (2, 6, 4, 4), (2, 4, 4))],
)  # fmt: skip
def test_shapes_that_disagree_are_refused(
    support: tuple[int, ...], query: tuple[int, ...], mask: tuple[int, ...]
) -> None:
    for layer, more in ((MIFE(6), ()), (CMAT(6), (torch.ones(2, 1, 4, 4),)), (PrototypeHead(), ())):
        with pytest.raises(ValueError, match="support mask must be"):
            layer(torch.ones(support), torch.ones(query), torch.ones(mask), *more)
