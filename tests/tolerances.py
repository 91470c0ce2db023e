"""How far a result may lie from what is expected: one table for every test. Loosening a line is a changelog entry."""

import torch
from torch import Tensor

TOLERANCES = {
    torch.float64: 1e-10,
    torch.float32: 1e-5,
    torch.float16: 4e-3,
    torch.bfloat16: 2e-2,
}


def assert_close(
    actual: Tensor, expected: Tensor, dtype: torch.dtype | None = None, *, scale: float | None = None
) -> None:
    """Check max |actual − expected| ≤ tolerance · max |expected|, in float64.

    Args:
        actual: what was computed.
        expected: what it should be; all finite.
        dtype: the line of the table; that of the less precise of the two by default.
        scale: what to measure by instead of max |expected|, where the expectation may vanish.
    """
    assert actual.shape == expected.shape, f"shape {tuple(actual.shape)}, not {tuple(expected.shape)}"
    tolerance = max(TOLERANCES[line] for line in ([dtype] if dtype else [actual.dtype, expected.dtype]))
    actual, expected = actual.detach().to("cpu", torch.float64), expected.detach().to("cpu", torch.float64)
    assert bool(torch.isfinite(expected).all()), "the expectation itself is not finite"
    if expected.numel() == 0:
        return
    scale = scale or float(expected.abs().max()) or 1.0
    error = float((actual - expected).abs().max())
    assert error <= tolerance * scale, f"off by {error / scale:.2e} of {scale:.2e}; {tolerance:.0e} is allowed"
