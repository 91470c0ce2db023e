"""Attention between many positions as two grouped 1×1 convolutions, see `ops/onednn.py`.

With the queries as pixels of a picture whose channels lie head by head, keys and values are weights of h groups:

    S = β + conv1×1(q; k),   out = conv1×1(softmax(S); vᵀ)

tile by tile and a few rows of queries at a time, so that scores, which make way for their softmax, stay in the
processor's last cache.
"""

import torch
from torch import Tensor

from pellucid.ops import onednn

_FEWEST_SCORES = 1 << 18  # of a head; with fewer, fused attention is as fast
_HELD_SCORES = 1 << 20  # at a time: 4 MiB


def why_not(q: Tensor, k: Tensor, v: Tensor, temperature: Tensor, table: Tensor, scores: int) -> str | None:
    """Return why convolutions cannot compute this attention, or would not pay; None if they can and do.

    `scores` is the number of pairs of a query and a key in a tile.
    """
    return onednn.why_not(q, k, v, temperature, table) or ("tiles are small" if scores < _FEWEST_SCORES else None)


def attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """Compute softmax(q kᵀ + β) v in each tile; no gradient.

    Args:
        q: (T, n₀ n₁, h, d).
        k: (T, h, M, d).
        v: (T, h, M, e).
        bias: β, (h, n₀, n₁, …, …) with M values for each query; may be a view that repeats itself.

    Returns:
        (T, n₀ n₁, h, e)
    """
    _, h, M, e = v.shape
    rows, columns = bias.shape[1:3]
    count = -(-rows // max(1, _HELD_SCORES // (h * columns * M)))
    parts = [slice(number * rows // count, (number + 1) * rows // count) for number in range(count)]
    heights = {part.stop - part.start for part in parts}
    out = q.new_empty(q.shape[0], rows, columns, h * e)
    room = q.new_empty(max(heights), columns, h, *bias.shape[3:])
    for tile, attended in enumerate(out):
        queries = q[tile].reshape(1, rows, columns, -1)
        of_keys, of_values = k[tile].reshape(h * M, -1, 1, 1), v[tile].mT.reshape(h * e, M, 1, 1)
        kernels = {height: _arranged(of_keys, of_values, height, columns) for height in heights}
        for part in parts:
            height = part.stop - part.start
            keys, values = kernels[height]
            room[:height].copy_(bias[:, part].permute(1, 2, 0, 3, 4))
            scores = room[:height].view(1, height, columns, h * M)
            onednn.add_convolution(scores.permute(0, 3, 1, 2), queries[:, part].permute(0, 3, 1, 2), keys)
            by_head = scores.view(height, columns, h, M)
            torch.softmax(by_head, dim=-1, out=by_head)  # a row's maximum first, then value by value
            attended[part] = onednn.convolution(scores.permute(0, 3, 1, 2), values, None)[0].permute(1, 2, 0)
    return out.view(len(q), rows * columns, h, e)


def _arranged(keys: Tensor, values: Tensor, height: int, columns: int) -> tuple[Tensor, Tensor]:
    heads = keys.shape[0] // values.shape[1]
    return (
        onednn.packed(keys, (1, heads * keys.shape[1], height, columns)),
        onednn.packed(values, (1, keys.shape[0], height, columns)),
    )
