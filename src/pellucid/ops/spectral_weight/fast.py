"""A weight for each frequency of patches, in real numbers, with the projection on the spectrum's side.

The transform D of a patch (see `ops/patch_spectrum.py`) mixes pixels and the projection P mixes channels, so they
commute, and a constant b has the spectrum 64 b at frequency zero and none elsewhere:

    F⁻¹(W̄ ⊙ F(P y + b)) = D⁻¹ (W̄ ⊙ (P (D y) + 64 b δ))

Only the C channels of y are transformed forwards, not the several times as many of P y.
"""

from torch import Tensor

from pellucid.ops.patch_spectrum import from_spectrum, spread_weight, to_spectrum
from pellucid.ops.patches import multiplied
from pellucid.ops.precision import without_autocast


def spectral_weight(y: Tensor, weight: Tensor, projection: Tensor, bias: Tensor | None) -> Tensor:
    """Same values and gradients as the reference, at least in float32."""
    with without_autocast(y.device):
        weighted = weighted_spectrum(to_spectrum(y), weight, projection, bias)
        return from_spectrum(weighted, y.shape[1], y.shape[2]).to(y.dtype)


def weighted_spectrum(spectrum: Tensor, weight: Tensor, projection: Tensor, bias: Tensor | None) -> Tensor:
    """Return W̄ ⊙ F(P y + bias) from the spectrum of y, (N, 64, C), of which several projections may be wanted."""
    W = spread_weight(weight.to(spectrum.dtype))
    t = spectrum @ projection.to(spectrum.dtype).T
    if bias is not None:
        t[:, 0] += t.shape[1] * bias
    return multiplied(t, W)
