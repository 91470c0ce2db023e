"""A weight for each frequency of patches, in real numbers, with the projection on the spectrum's side.

The transform of a patch (see `ops/patch_spectrum.py`) mixes pixels and the projection P mixes channels, so they
commute, and a constant b has the spectrum 64 b at frequency zero and none elsewhere:

    F⁻¹(W̄ ⊙ F(P y + b)) = F⁻¹(W̄ ⊙ (P F(y) + 64 b δ))

Only the C channels of y are transformed forwards, not the several times as many of P y.
"""

from torch import Tensor

from pellucid.ops.patch_spectrum import COSINES, REAL, SINES, from_spectrum, spread_weight, to_spectrum
from pellucid.ops.patches import PATCH, multiplied, pad_to_patches
from pellucid.ops.pixel_product import pixel_product
from pellucid.ops.precision import without_autocast


def spectral_weight(y: Tensor, weight: Tensor, projection: Tensor, bias: Tensor | None) -> Tensor:
    """Same values and gradients as the reference, at least in float32."""
    _, H, W, _ = y.shape
    padded = pad_to_patches(y)
    with without_autocast(y.device):
        weighted = weighted_spectrum(to_spectrum(padded), spread_weight(weight), projection, bias)
        return from_spectrum(weighted, padded.shape[1], padded.shape[2])[:, :H, :W].to(y.dtype)


def weighted_spectrum(
    spectrum: Tensor, weight: tuple[Tensor, Tensor], projection: Tensor, bias: Tensor | None
) -> Tensor:
    """Return W̄ ⊙ F(P y + bias) from the spectrum of y, of which several projections may be wanted, and the spread W."""
    R, _, K, _, C = spectrum.shape
    direct, crossed = (table.unsqueeze(1).to(spectrum.dtype) for table in weight)  # rows 1 columns C_out
    t = pixel_product(spectrum.view(1, R * PATCH, K * PATCH, C), projection.to(spectrum.dtype))
    t = t.reshape(R, PATCH, K, PATCH, -1)
    if bias is not None:
        t[:, 0, :, 0] += PATCH**2 * bias
    halves = ((COSINES, SINES), (SINES, COSINES))
    exchanged = [
        (rows, columns, t[:, other_rows, :, other_columns] * crossed[_of_pairs(rows), :, _of_pairs(columns)])
        for rows, other_rows in halves
        for columns, other_columns in halves
    ]
    out = multiplied(t, direct)
    for rows, columns, part in exchanged:
        out[:, rows, :, columns] += part
    return out


def _of_pairs(part: slice) -> slice:
    """Where cosines or sines are in a table that leaves out what is real."""
    return slice(part.start - REAL.stop, part.stop - REAL.stop)
