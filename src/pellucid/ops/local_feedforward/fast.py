"""The two convolutions by minimal filtering, which takes a quarter of the products (Lavin and Gray, CVPR 2016).

Polynomials are multiplied by multiplying their values at some points and interpolating. Transposed, this gives 4 values
of a signal d of 6 filtered by g of 3 from 6 products instead of 12:

    d ⋆ g = V₄ᵀ [ (V₃ g) ⊙ (V₆⁻ᵀ d) ],    V_k = the powers 0 … k − 1 of the points 0, ±√½, ±√2, ∞

In two dimensions the matrices act on rows and on columns, and a tile of 4 × 4 pixels takes 36 products for each pair of
channels instead of 144. Over all tiles these are 36 matrix products. With these points, whose powers are the closest,
rounding is about twice that of the plain sums.

One row of tiles at a time passes through buffers that stay in the processor's cache, and meets GELU or the residual
on its way out.
"""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.ops import onednn

_TILE, _WINDOW = 4, 6  # sides of what is computed together, and of what that depends on
_FEWEST_CHANNELS = 64  # with fewer, cutting into tiles and joining them costs more than the products saved

_ROOT = math.sqrt(2)
_POINTS = torch.tensor([0, 1 / _ROOT, -1 / _ROOT, _ROOT, -_ROOT], dtype=torch.float64, device="cpu")


def _powers(count: int) -> Tensor:
    """Return the powers 0 … count − 1 of the points; of ∞, only the last counts."""
    infinity = torch.eye(count, dtype=torch.float64, device="cpu")[-1:]
    return torch.cat([torch.linalg.vander(_POINTS, N=count), infinity])


_OF_FILTER, _OF_SIGNAL, _OF_PRODUCT = _powers(3), torch.inverse(_powers(6)).T.contiguous(), _powers(4).T


def why_not(*tensors: Tensor | None) -> str | None:
    """Return why minimal filtering cannot run on these arguments, or would not pay; None if it can and does."""
    given = [t for t in tensors if t is not None]
    if torch.compiler.is_compiling():
        return "a graph is being recorded"
    if torch.is_grad_enabled() and any(t.requires_grad for t in given):
        return "a gradient is being recorded"
    if any(t.device.type != "cpu" or t.dtype not in (torch.float32, torch.float64) for t in given):
        return "it is made for float32 and float64 on a CPU"
    if torch.is_autocast_enabled("cpu"):
        return "another precision is asked for"
    if any(min(t.shape[:2]) < _FEWEST_CHANNELS for t in given if t.shape[2:] == (3, 3)):
        return "there are few channels"
    return None


def local_feedforward(
    x: Tensor, y: Tensor, weight1: Tensor, weight2: Tensor, bias1: Tensor | None, bias2: Tensor | None
) -> Tensor:
    """Same values as the reference; no gradient."""
    W = y.shape[2]
    right = -W % _TILE
    if right:
        x, y = F.pad(x, (0, 0, 0, right)), F.pad(y, (0, 0, 0, right))
    hidden = y.new_empty(*y.shape[:3], weight1.shape[0])
    to = _in_tiles(hidden)
    for rows, values in _filtered(y.contiguous(), weight1, bias1):
        to[:, rows] = F.gelu(values)
    hidden[:, :, W:] = 0  # the second convolution pads too
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    add, to = _in_tiles(x), _in_tiles(out)
    for rows, values in _filtered(hidden, weight2, bias2):
        torch.add(values, add[:, rows], out=to[:, rows])
    return out[:, :, :W]


def _in_tiles(t: Tensor) -> Tensor:
    """View t, (B, H, W, C) with W a multiple of 4, as (B, H, W/4, 4, C)."""
    B, H, W, C = t.shape
    return t.view(B, H, W // _TILE, _TILE, C)


def _filtered(x: Tensor, weight: Tensor, bias: Tensor | None) -> Iterator[tuple[slice, Tensor]]:
    """Filter x, (B, H, W, C) with W a multiple of 4, by the weight, (D, C, 3, 3), with zero padding.

    Yields some rows and their values, (B, rows, W/4, 4, D), which hold until the next are asked for.
    """
    B, H, W, C = x.shape
    D, columns = weight.shape[0], W // _TILE
    of_filter, of_signal, of_product = (matrix.to(x.dtype) for matrix in (_OF_FILTER, _OF_SIGNAL, _OF_PRODUCT))
    filters = torch.kron(of_filter, of_filter) @ weight.permute(2, 3, 0, 1).reshape(9, -1)
    multiply = _multiplication(filters.view(_WINDOW**2, D, C), B * columns)

    strip = x.new_zeros(B, _WINDOW, W + 2, C)  # rows transformed, between columns of zeros
    inside = strip.flatten(2)[:, :, C:-C]
    windows = strip.unfold(2, _WINDOW, _TILE).permute(0, 2, 1, 4, 3)  # B columns i j C
    gathered = x.new_empty(windows.shape)
    signal = x.new_empty(windows.shape)
    half = x.new_empty(B * columns, _TILE, _WINDOW * D)
    values = x.new_empty(B, columns, _TILE, _TILE, D)
    # Views, made once: with many short steps, making them is work that shows.
    for_pictures, for_rows = of_signal.expand(B, -1, -1), of_signal.expand(B * columns * _WINDOW, -1, -1)
    gathered_rows, signal_rows = gathered.view(-1, _WINDOW, C), signal.view(-1, _WINDOW, C)
    by_rows, by_columns = of_product.expand(B * columns, -1, -1), of_product.expand(B * columns * _TILE, -1, -1)
    half_rows, value_rows, tiles = half.view(-1, _WINDOW, D), values.view(-1, _TILE, D), values.transpose(1, 2)
    for start in range(0, H, _TILE):
        first, last, stop = max(start - 1, 0), min(start - 1 + _WINDOW, H), min(start + _TILE, H)
        seen = for_pictures[:, :, first - start + 1 : last - start + 1]
        torch.bmm(seen, x[:, first:last].flatten(2), out=inside)
        gathered.copy_(windows)
        torch.bmm(for_rows, gathered_rows, out=signal_rows)
        torch.bmm(by_rows, multiply(signal.view(-1, _WINDOW**2, C)).view(-1, _WINDOW, _WINDOW * D), out=half)
        torch.bmm(by_columns, half_rows, out=value_rows)
        if bias is not None:
            values.add_(bias)
        yield slice(start, stop), tiles[:, : stop - start]


def _multiplication(filters: Tensor, tiles: int) -> Callable[[Tensor], Tensor]:
    """Return what multiplies each of 36 numbers of so many tiles, (tiles, 36, C), by a filter's, (36, D, C)."""
    numbers, D, C = filters.shape
    if onednn.why_not(filters):
        return lambda signal: torch.bmm(signal.transpose(0, 1), filters.mT).transpose(0, 1).contiguous()
    kernel = onednn.packed(filters.view(-1, C, 1, 1), (1, numbers * C, 1, tiles))

    def multiply(signal: Tensor) -> Tensor:
        as_picture = signal.view(1, 1, tiles, numbers * C).permute(0, 3, 1, 2)
        return onednn.convolution(as_picture, kernel, None).permute(0, 2, 3, 1).view(tiles, numbers, D)

    return multiply
