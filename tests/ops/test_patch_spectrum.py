import pytest
import torch

from pellucid.ops.patch_spectrum import from_spectrum, spread_weight, to_spectrum
from pellucid.ops.patches import multiplied, patch_stripes, project_into
from tolerances import assert_close


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_numbers_are_those_of_the_discrete_fourier_transform(dtype: torch.dtype) -> None:
    """Each is a bin of the transform, their energy is 64 times that of the pixels, and frequency zero comes first."""
    x = torch.randn(1, 8, 8, 3, dtype=dtype)
    spectrum = to_spectrum(x)
    expected = torch.fft.fft2(x, dim=(1, 2))
    assert spectrum.shape == (1, 64, 3)
    assert_close(spectrum[0, 0], x.sum((0, 1, 2)))
    assert_close(spectrum[:, :4].square().sum() + 2 * spectrum[:, 4:].square().sum(), 64 * x.square().sum())
    found = spectrum[0, 4:34].square() + spectrum[0, 34:].square()
    everywhere = expected.abs().square().flatten(0, 2)
    distances = (found[:, None] - everywhere).abs().amax(-1).amin(-1)
    assert float(distances.max()) <= 1e-5 * float(everywhere.max())


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (9, 23), (16, 24)])
def test_there_and_back_changes_nothing(size: tuple[int, int]) -> None:
    x = torch.randn(2, *size, 3, dtype=torch.float64)
    assert_close(from_spectrum(to_spectrum(x), *size), x)


def test_the_result_may_be_put_into_a_part_of_a_picture() -> None:
    x, out = torch.randn(2, 8, 16, 3), torch.zeros(2, 11, 16, 3)
    from_spectrum(to_spectrum(x), 8, 16, out[:, 2:10])
    assert_close(out[:, 2:10], x)
    assert torch.equal(out[:, [0, 1, 10]], torch.zeros(2, 3, 16, 3))


def test_half_precision_is_transformed_in_single() -> None:
    assert to_spectrum(torch.ones(1, 8, 8, 1, dtype=torch.bfloat16)).dtype == torch.float32


def test_a_weight_of_conjugate_bins_is_their_mean() -> None:
    """Of 40 bins, 28 stand alone, and 6 pairs share: [u, v] and [8 − u, v] for u = 1, 2, 3 and v = 0, 4."""
    weight = torch.zeros(1, 8, 5)
    weight[0, 3, 4] = 1
    assert spread_weight(weight).sum() == 1  # half of it, for a real and for an imaginary part
    weight = torch.zeros(1, 8, 5)
    weight[0, 3, 2] = 1
    assert spread_weight(weight).sum() == 2
    weight = torch.zeros(1, 8, 5)
    weight[0, 4, 0] = 1
    assert spread_weight(weight).sum() == 1


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_projection_is_written_where_it_belongs(dtype: torch.dtype) -> None:
    x, out = torch.randn(1, 2, 3, 4, dtype=dtype), torch.zeros(1, 2, 3, 5)
    weight, bias = torch.randn(5, 4), torch.randn(5)
    if dtype == torch.bfloat16:  # as autocast leaves it
        with torch.autocast("cpu", torch.bfloat16):
            project_into(out, x, weight, bias)
    else:
        project_into(out, x, weight, bias)
    assert_close(out, x.float() @ weight.T + bias, dtype)
