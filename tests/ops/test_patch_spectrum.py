import pytest
import torch

from pellucid.ops.patch_spectrum import from_spectrum, spread_weight, to_spectrum
from pellucid.ops.patches import multiplied, patch_stripes
from tolerances import assert_close


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_numbers_are_those_of_the_discrete_fourier_transform(dtype: torch.dtype) -> None:
    """Every bin, by the formulas of the module's text."""
    x = torch.randn(1, 8, 8, 3, dtype=dtype)
    X = to_spectrum(x)[0, :, 0]
    expected = torch.fft.fft2(x[0], dim=(0, 1))
    frequencies = (0, 4, 1, 2, 3)
    for u, of_u in enumerate(frequencies):
        for v, of_v in enumerate(frequencies):
            cc, sc, cs, ss = (
                X[u + 3 * i, v + 3 * j] if (u > 1 or not i) and (v > 1 or not j) else torch.zeros(3, dtype=dtype)
                for i, j in ((0, 0), (1, 0), (0, 1), (1, 1))
            )
            assert_close(torch.stack([cc - ss, cs + sc], -1), torch.view_as_real(expected[of_u, of_v]))
            assert_close(torch.stack([cc + ss, cs - sc], -1), torch.view_as_real(expected[-of_u % 8, of_v]))


@pytest.mark.parametrize("size", [(8, 8), (8, 24), (16, 24)])
def test_there_and_back_changes_nothing(size: tuple[int, int]) -> None:
    x = torch.randn(2, *size, 3, dtype=torch.float64)
    assert_close(from_spectrum(to_spectrum(x), *size), x)


def test_the_result_may_be_put_into_a_part_of_a_picture() -> None:
    x, out = torch.randn(1, 8, 16, 3), torch.zeros(1, 11, 16, 3)
    from_spectrum(to_spectrum(x), 8, 16, out[:, 2:10])
    assert_close(out[:, 2:10], x)
    assert torch.equal(out[:, [0, 1, 10]], torch.zeros(1, 3, 16, 3))


def test_half_precision_is_transformed_in_single() -> None:
    assert to_spectrum(torch.ones(1, 8, 8, 1, dtype=torch.bfloat16)).dtype == torch.float32


@pytest.mark.parametrize(
    ("bin_", "number", "share"),
    [
        ((3, 4), (4, 1), 0.5),  # [3, 4] and [5, 4] are conjugates, and both are stored: their mean acts
        ((3, 2), (4, 3), 0.5),  # a cosine of both axes is half of [3, 2] and half of [5, 2]
        ((4, 0), (1, 0), 1),  # real, and alone
    ],
)
def test_a_weight_of_a_bin_acts_on_its_numbers(bin_: tuple[int, int], number: tuple[int, int], share: float) -> None:
    weight = torch.zeros(1, 8, 5)
    weight[0, bin_[0], bin_[1]] = 1
    direct, crossed = spread_weight(weight)
    assert direct[number].item() == share
    assert bool(crossed.any()) == (bin_ == (3, 2))


@pytest.mark.parametrize("values_per_row", [1, 10**5, 10**6])
@pytest.mark.parametrize("height", [8, 16, 72, 1024])
def test_stripes_are_whole_patches_and_cover_the_picture(height: int, values_per_row: int) -> None:
    stripes = list(patch_stripes(height, values_per_row, reach=1))
    assert [row for stripe in stripes for row in range(height)[stripe.rows]] == list(range(height))
    for stripe in stripes:
        assert stripe.rows.start % 8 == stripe.rows.stop % 8 == 0
        read = range(height)[stripe.read]
        assert read[stripe.wanted] == range(height)[stripe.rows]
        assert read.start == max(stripe.rows.start - 1, 0)
        assert read.stop == min(stripe.rows.stop + 1, height)


def test_a_product_overwrites_only_where_no_gradient_is_recorded() -> None:
    x = torch.ones(2)
    assert multiplied(x, torch.full((2,), 3.0)) is x
    trained = torch.ones(2, requires_grad=True)
    assert torch.equal(multiplied(trained, x), torch.full((2,), 3.0))
    assert torch.equal(trained, torch.ones(2))
