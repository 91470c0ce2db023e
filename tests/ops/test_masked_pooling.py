import pytest
import torch
from torch.nn import functional as F

from pellucid.ops.masked_pooling import masked_average_pooling
from pellucid.ops.masked_pooling.fast import pulled_back
from tolerances import assert_close


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("size", [(4, 6), (12, 18), (9, 11), (3, 2), (1, 1)])
def test_pulling_the_mask_back_is_the_adjoint_of_the_enlargement(size: tuple[int, int]) -> None:
    """⟨U F, M⟩ = ⟨F, Uᵀ M⟩, also where "enlarging" makes smaller."""
    x, mask = torch.randn(2, 4, 6, dtype=torch.float64), torch.randn(2, *size, dtype=torch.float64)
    enlarged = F.interpolate(x[:, None], size, mode="bilinear", align_corners=False)[:, 0]
    assert_close((x * pulled_back(mask, 4, 6)).sum((1, 2)), (enlarged * mask).sum((1, 2)))


def test_pulling_back_keeps_the_area() -> None:
    mask = torch.rand(2, 23, 9, dtype=torch.float64)
    assert_close(pulled_back(mask, 4, 3).sum((1, 2)), mask.sum((1, 2)))


def test_a_whole_mask_of_the_same_size_gives_the_mean() -> None:
    features = torch.randn(2, 7, 5, 3, dtype=torch.float64)
    pooled = masked_average_pooling(features, torch.ones(2, 7, 5, 1, dtype=torch.float64))
    assert_close(pooled * (35 + 1e-5) / 35, features.mean((1, 2)))


def test_one_pixel_gives_the_enlarged_features_there() -> None:
    features, mask = torch.randn(1, 3, 4, 5, dtype=torch.float64), torch.zeros(1, 24, 32, 1, dtype=torch.float64)
    mask[0, 17, 9] = 1
    enlarged = F.interpolate(features.permute(0, 3, 1, 2), (24, 32), mode="bilinear", align_corners=False)
    assert_close(masked_average_pooling(features, mask) * (1 + 1e-5), enlarged[:, :, 17, 9])


def test_an_empty_mask_gives_zeros() -> None:
    features = torch.randn(2, 3, 4, 5, requires_grad=True)
    pooled = masked_average_pooling(features, torch.zeros(2, 24, 32, 1))
    assert torch.equal(pooled, torch.zeros(2, 5))
    (gradient,) = torch.autograd.grad(pooled.sum(), features)
    assert torch.equal(gradient, torch.zeros_like(features))


def test_large_areas_are_not_summed_in_half_precision() -> None:
    """300² ones sum to 90 000, beyond float16's 65 504."""
    pooled = masked_average_pooling(torch.ones(1, 30, 30, 2).half(), torch.ones(1, 300, 300, 1).half())
    assert pooled.dtype == torch.float16
    assert_close(pooled, torch.ones(1, 2))


@pytest.mark.parametrize("mask", [(1, 8, 8), (2, 8, 8, 1), (1, 8, 8, 2)])
def test_masks_of_other_shapes_are_refused(mask: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="mask"):
        masked_average_pooling(torch.ones(1, 4, 4, 3), torch.ones(mask))
