from unittest import mock

import pytest
import torch
from torch import Tensor

from pellucid.ops.cross_masked_attention import (
    attention,
    cross_masked_attention,
    fast,
    key_masked_attention,
    reference,
)
from tolerances import assert_close


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def _qkv(batch: int = 2, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    shapes = ((batch, 5, 7, 4), (batch, 6, 4, 4), (batch, 6, 4, 6))
    return tuple(torch.randn(shape, dtype=dtype) for shape in shapes)  # type: ignore[return-value]


@pytest.mark.parametrize("heads", [1, 2])
def test_is_the_equation_of_the_specification(heads: int) -> None:
    """One row at a time, with the mask inside the product: (M ⊙ softmax(·)) V."""
    q, k, v = _qkv(batch=1)
    mask = (torch.rand(1, 5, 7, 1) > 0.5).double()
    rows, Q, K, V = mask.flatten(), q.flatten(0, 2), k.flatten(0, 2), v.flatten(0, 2)
    expected = torch.zeros(35, 6, dtype=torch.float64)
    d, c = 4 // heads, 6 // heads
    for i in range(35):
        for h in range(heads):
            weights = (Q[i, h * d : (h + 1) * d] @ K[:, h * d : (h + 1) * d].T / d**0.5).exp()
            expected[i, h * c : (h + 1) * c] = (rows[i] * weights / weights.sum()) @ V[:, h * c : (h + 1) * c]
    assert_close(cross_masked_attention(q, k, v, mask, heads).flatten(0, 2), expected)


def test_gating_and_leaving_rows_out_agree() -> None:
    """The two forms of the fast path, values and gradients, also where the masks of the batch differ in size."""
    q, k, v = _qkv(batch=3)
    mask = (torch.rand(3, 5, 7, 1) > 0.7).double()
    mask[1], mask[2] = 0, 1
    weight = torch.randn(3, 5, 7, 6, dtype=torch.float64)
    found = []
    for why in (None, "asked not to"):
        arguments = [t.clone().requires_grad_() for t in (q, k, v)]
        with mock.patch.object(fast, "why_not_foreground_only", lambda _, why=why: why):
            value = cross_masked_attention(*arguments, mask, 2)
        found.append((value, *torch.autograd.grad(value, arguments, weight)))
    for mine, wanted in zip(*found, strict=True):
        assert_close(mine, wanted)


def test_only_foreground_rows_attend() -> None:
    q, k, v = _qkv(batch=1)
    mask = torch.zeros(1, 5, 7, 1)
    mask[0, 1, 2:5] = 1
    seen: list[int] = []

    def recorded(q: Tensor, *others: Tensor) -> Tensor:
        seen.append(q.shape[1])
        return attended(q, *others)

    attended = fast.attention
    with mock.patch.object(fast, "attention", recorded):
        out = cross_masked_attention(q, k, v, mask)
    assert seen == [3]
    assert torch.equal(out[mask.expand_as(out) == 0], torch.zeros(32 * 6, dtype=torch.float64))


def test_a_path_that_cannot_leave_rows_out_says_why() -> None:
    mask = torch.ones(1, 2, 2, 1)
    assert fast.why_not_foreground_only(mask) is None
    assert "device" in (fast.why_not_foreground_only(mask.to("meta")) or "")
    mask.requires_grad_()
    assert "gradient" in (fast.why_not_foreground_only(mask) or "")
    with torch.no_grad():
        assert fast.why_not_foreground_only(mask) is None


def test_an_empty_mask_of_rows_gives_zeros() -> None:
    q, k, v = _qkv()
    assert torch.equal(
        cross_masked_attention(q, k, v, torch.zeros(2, 5, 7, 1)), torch.zeros(2, 5, 7, 6, dtype=torch.float64)
    )


def test_masking_keys_is_dropping_them() -> None:
    q, k, v = _qkv()
    mask = torch.zeros(2, 6, 4, 1)
    mask[:, 2:4] = 1
    assert_close(key_masked_attention(q, k, v, mask), attention(q, k[:, 2:4], v[:, 2:4]))
    with torch.enable_grad():
        assert_close(key_masked_attention(q.requires_grad_(), k, v, mask), attention(q.detach(), k[:, 2:4], v[:, 2:4]))


def test_an_empty_mask_of_keys_masks_nothing_in_its_own_picture() -> None:
    q, k, v = _qkv()
    mask = torch.zeros(2, 6, 4, 1)
    mask[1, 0, 0] = 1
    out = key_masked_attention(q, k, v, mask)
    assert_close(out[0], attention(q, k, v)[0])
    assert_close(out[1], v[1, 0, 0].expand(5, 7, 6))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_stripes_give_the_same_values(dtype: torch.dtype) -> None:
    q, k, v = _qkv(dtype=dtype)
    mask = torch.ones(2, 5, 7, 1, dtype=dtype)
    expected = reference.cross_masked_attention(q, k, v, mask, 2)
    with torch.no_grad(), mock.patch("pellucid.ops.row_stripes._STRIPE_VALUES", 1):
        assert_close(attention(q, k, v, 2), expected)
        keys = (k[..., :1] > 0).to(dtype)
        assert_close(key_masked_attention(q, k, v, keys, 2), reference.key_masked_attention(q, k, v, keys, 2))


@pytest.mark.parametrize(
    ("q", "k", "v", "mask", "heads"),
    [
        ((1, 4, 4, 4), (1, 3, 3, 2), (1, 3, 3, 6), (1, 4, 4, 1), 1),
        ((1, 4, 4, 4), (1, 3, 3, 4), (1, 3, 4, 6), (1, 4, 4, 1), 1),
        ((1, 4, 4, 4), (2, 3, 3, 4), (2, 3, 3, 6), (1, 4, 4, 1), 1),
        ((1, 4, 4, 4), (1, 3, 3, 4), (1, 3, 3, 6), (1, 3, 3, 1), 1),
        ((1, 4, 4, 4), (1, 3, 3, 4), (1, 3, 3, 6), (1, 4, 4, 1), 4),
        ((4, 4, 4), (3, 3, 4), (3, 3, 6), (4, 4, 1), 1),
    ],
)
def test_shapes_that_disagree_are_refused(
    q: tuple[int, ...], k: tuple[int, ...], v: tuple[int, ...], mask: tuple[int, ...], heads: int
) -> None:
    with pytest.raises(ValueError, match=r"must be|divide"):
        cross_masked_attention(torch.ones(q), torch.ones(k), torch.ones(v), torch.ones(mask), heads)


def test_a_mask_of_keys_must_fit_the_keys() -> None:
    q, k, v = _qkv()
    with pytest.raises(ValueError, match="mask"):
        key_masked_attention(q, k, v, torch.ones(2, 5, 7, 1))
