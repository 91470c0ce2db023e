import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from checklist import many_stripes
from pellucid.ops import row_stripes as module
from pellucid.ops.row_stripes import depthwise_rows, map_rows, row_stripes, worth_striping
from tolerances import assert_close

_quietly = settings(deadline=None, derandomize=True, database=None, max_examples=100)


@_quietly
@given(height=st.integers(1, 300), values_per_row=st.integers(0, 1 << 22), reach=st.integers(0, 20))
def test_stripes_cover_every_row_once_and_read_what_they_need(height: int, values_per_row: int, reach: int) -> None:
    rows = list(range(height))
    covered = []
    for stripe in row_stripes(height, values_per_row, reach):
        read, wanted = rows[stripe.read], rows[stripe.rows]
        assert wanted
        assert read[stripe.wanted] == wanted
        assert read == rows[max(wanted[0] - reach, 0) : wanted[-1] + reach + 1]
        covered += wanted
    assert covered == rows


def test_a_stripe_is_as_high_as_its_bound_allows() -> None:
    stripes = list(row_stripes(1000, 8192, reach=1))
    limit = module._STRIPE_VALUES // 8192
    assert limit >= 8
    heights = {stripe.rows.stop - stripe.rows.start for stripe in stripes}
    assert max(heights) <= min(limit, min(heights) + 1)
    assert len(stripes) == -(-1000 // limit)


@_quietly
@given(height=st.integers(1, 40), width=st.integers(1, 5), size=st.sampled_from([1, 3, 5]), dilation=st.integers(1, 2))
def test_depthwise_rows_are_those_of_the_picture(height: int, width: int, size: int, dilation: int) -> None:
    torch.manual_seed(height)
    x, weight = torch.randn(2, 3, height, width, dtype=torch.float64), torch.randn(3, 1, size, size).double()
    reach = dilation * (size // 2)
    expected = F.conv2d(x, weight, padding=reach, dilation=dilation, groups=3)
    with many_stripes():
        for stripe in row_stripes(height, 100, reach):
            actual = depthwise_rows(x[:, :, stripe.read], weight, None, stripe, dilation)
            assert_close(actual, expected[:, :, stripe.rows])


def test_no_rows_make_no_stripes() -> None:
    assert list(row_stripes(0, 10, reach=1)) == []


@_quietly
@given(
    height=st.integers(1, 60),
    width=st.integers(1, 6),
    kernels=st.lists(st.sampled_from([1, 3, 5]), min_size=1, max_size=3),
    batch=st.integers(1, 2),
    channels_last=st.booleans(),
)
def test_a_chain_of_convolutions_is_the_same_in_stripes(
    height: int, width: int, kernels: list[int], batch: int, channels_last: bool
) -> None:
    torch.manual_seed(height)
    weights = [torch.randn(3, 3, size, size, dtype=torch.float64) for size in kernels]
    heights = []

    def chain(x: torch.Tensor) -> torch.Tensor:
        heights.append(x.shape[-2])
        for weight in weights:
            x = torch.tanh(F.conv2d(x, weight, torch.ones(3, dtype=x.dtype), padding=weight.shape[-1] // 2))
        return x

    x = torch.randn(batch, 3, height, width, dtype=torch.float64)
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    expected = chain(x)
    heights.clear()
    with many_stripes():
        actual = map_rows(chain, x, widest=3, reach=sum(size // 2 for size in kernels))
    assert_close(actual, expected)
    assert len(heights) == -(-height // 8)


def test_too_short_a_reach_would_show() -> None:
    """The test above has teeth."""
    x = torch.randn(1, 1, 32, 4)
    with many_stripes():
        blurred = map_rows(lambda t: F.avg_pool2d(t, 3, 1, 1), x, widest=1, reach=0)
    assert not torch.allclose(blurred, F.avg_pool2d(x, 3, 1, 1))


def test_the_memory_format_is_kept() -> None:
    for memory_format in (torch.channels_last, torch.contiguous_format):
        x = torch.randn(2, 3, 40, 5).contiguous(memory_format=memory_format)
        with many_stripes():
            assert map_rows(torch.sin, x, widest=3, reach=0).is_contiguous(memory_format=memory_format)


def test_a_function_that_enlarges_is_the_same_in_stripes() -> None:
    x, weight = torch.randn(2, 3, 29, 5, dtype=torch.float64), torch.randn(8, 3, 3, 3).double()

    def enlarged(t: torch.Tensor) -> torch.Tensor:
        return F.pixel_shuffle(F.conv2d(t, weight, padding=1), 2)

    with many_stripes():
        actual = map_rows(enlarged, x, widest=8, reach=1, scale=2)
    assert_close(actual, enlarged(x))


def test_stripes_are_used_only_where_nothing_is_recorded() -> None:
    x, weight = torch.ones(1), torch.ones(1, requires_grad=True)
    assert worth_striping(x)
    assert not worth_striping(x, weight)
    assert not worth_striping(torch.ones(1, device="meta"))
    with torch.no_grad():
        assert worth_striping(x, weight)
    traced = torch.compile(lambda t: t + worth_striping(t), backend="eager", fullgraph=True)
    with torch.no_grad():
        assert torch.equal(traced(x), x)


@pytest.mark.parametrize("height", [1, 8, 9, 16, 17, 25])
def test_forced_stripes_are_eight_rows(height: int) -> None:
    with many_stripes():
        assert len(list(row_stripes(height, 100, reach=1))) == -(-height // 8)
