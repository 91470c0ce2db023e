"""A weight for each frequency of patches, in real numbers, with the projection on the spectrum's side.

The transform D of a patch (see `ops/patch_spectrum.py`) mixes pixels and the projection P mixes channels, so they
commute, and a constant has no spectrum but at frequency zero:

    F⁻¹(W̄ ⊙ F(P y + b)) = D⁻¹ (W̄ ⊙ (P (D y))) + W̄[0,0] b

Only the C channels of y are transformed forwards, not the several times as many of P y.
"""

from torch import Tensor

from pellucid.ops.patch_spectrum import from_spectrum, in_full_precision, spread_weight, to_spectrum


def spectral_weight(y: Tensor, weight: Tensor, projection: Tensor, bias: Tensor | None) -> Tensor:
    """Same values and gradients as the reference, at least in float32."""
    with in_full_precision(y.device):
        return weighted_patches(to_spectrum(y), y.shape[1], y.shape[2], weight, projection, bias).to(y.dtype)


def weighted_patches(
    spectrum: Tensor, height: int, width: int, weight: Tensor, projection: Tensor, bias: Tensor | None
) -> Tensor:
    """Finish from the spectrum of y, (B·H·W/64, 64, C), of which several projections may be wanted."""
    weight, projection = weight.to(spectrum.dtype), projection.to(spectrum.dtype)
    t = from_spectrum(spread_weight(weight) * (spectrum @ projection.T), height, width)
    return t if bias is None else t + bias.to(t.dtype) * weight[:, 0, 0]
