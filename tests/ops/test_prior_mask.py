from unittest import mock

import pytest
import torch
from torch import Tensor

from pellucid.ops.prior_mask import fast, prior_mask, reference
from tolerances import assert_close


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def _inputs() -> tuple[Tensor, Tensor, Tensor]:
    q, s = torch.randn(2, 5, 4, 3, dtype=torch.float64), torch.randn(2, 3, 6, 3, dtype=torch.float64)
    return q, s, (torch.rand(2, 3, 6, 1) > 0.6).double()


def test_is_the_equation_of_the_specification() -> None:
    """One cosine at a time; pixels outside the mask count as 0."""
    q, s, m = _inputs()
    for b in range(2):
        best = []
        for x in q[b].flatten(0, 1):
            masked = [m_j * s_j for m_j, s_j in zip(m[b].flatten(), s[b].flatten(0, 1), strict=True)]
            best.append(max(float(x @ y / (x.norm() * y.norm() + 1e-7)) for y in masked))
        pi = torch.tensor(best, dtype=torch.float64)
        expected = (pi - pi.min()) / (pi.max() - pi.min() + 1e-7)
        assert_close(prior_mask(q, s, m)[b].flatten(), expected)


def test_gradients_with_a_hard_mask_are_the_references() -> None:
    q, s, m = _inputs()
    weight = torch.randn(2, 5, 4, 1, dtype=torch.float64)
    gradients = []
    for function in (prior_mask, reference.prior_mask):
        arguments = [t.clone().requires_grad_() for t in (q, s)]
        gradients.append(torch.autograd.grad(function(*arguments, m), arguments, weight))
    for mine, wanted in zip(*gradients, strict=True):
        assert_close(mine, wanted)


def test_the_search_in_stripes_is_the_search_at_once() -> None:
    q, s, m = torch.randn(1, 9, 5, 3), torch.randn(1, 4, 5, 3), torch.ones(1, 4, 5, 1)
    expected = prior_mask(q, s, m)
    with mock.patch("pellucid.ops.row_stripes._STRIPE_VALUES", 1):
        assert torch.equal(prior_mask(q, s, m), expected)


def test_no_score_is_kept_for_the_gradient() -> None:
    """Of the search over all pairs nothing is recorded: what autograd saves grows with the pixels, not their pairs."""
    q, s = torch.randn(1, 20, 20, 2, requires_grad=True), torch.randn(1, 20, 20, 2, requires_grad=True)
    saved: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t.numel()) or t, lambda t: t):
        fast.prior_mask(q, s, torch.ones(1, 20, 20, 1))
    assert max(saved) <= 800


def test_an_empty_mask_marks_nothing() -> None:
    q, s, m = _inputs()
    assert torch.equal(prior_mask(q, s, 0 * m), torch.zeros(2, 5, 4, 1, dtype=torch.float64))


def test_the_length_of_features_does_not_matter() -> None:
    q, s, m = _inputs()
    assert_close(prior_mask(1e3 * q, 1e3 * s, m), prior_mask(q, s, m), torch.float32)  # but for the 1e-7 beside them


def test_values_are_between_0_and_1() -> None:
    pi = prior_mask(*_inputs()).flatten(1)
    assert torch.equal(pi.amin(1), torch.zeros(2, dtype=torch.float64))
    assert_close(pi.amax(1), torch.ones(2, dtype=torch.float64), torch.float32)


@pytest.mark.parametrize(
    ("query", "support", "mask"),
    [((1, 4, 4, 3), (1, 4, 4, 2), (1, 4, 4, 1)), ((1, 4, 4, 3), (2, 4, 4, 3), (2, 4, 4, 1)),
     ((1, 4, 4, 3), (1, 4, 4, 3), (1, 8, 8, 1)), ((4, 4, 3), (4, 4, 3), (4, 4, 1))],
)  # fmt: skip
def test_shapes_that_disagree_are_refused(
    query: tuple[int, ...], support: tuple[int, ...], mask: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match="must be"):
        prior_mask(torch.ones(query), torch.ones(support), torch.ones(mask))
