"""The product of the spectra of patches, in real numbers.

With the spectra as 64 real numbers (see `ops/patch_spectrum.py`), X = D p, the complex product is, bin by bin,

    Re A = Re Q · Re K − Im Q · Im K,    Im A = Re Q · Im K + Im Q · Re K,    A = D⁻¹ (Re A, Im A)

and a plain product for the four bins that are real.
"""

import torch
from torch import Tensor

from pellucid.ops.patch_spectrum import REAL_BINS, from_spectrum, to_spectrum
from pellucid.ops.patches import multiplied
from pellucid.ops.precision import without_autocast


def spectral_product(q: Tensor, k: Tensor) -> Tensor:
    """Same values and gradients as the reference, at least in float32."""
    with without_autocast(q.device):
        product = _complex_product(to_spectrum(q), to_spectrum(k))
        return from_spectrum(product, q.shape[1], q.shape[2]).to(q.dtype)


def _complex_product(Q: Tensor, K: Tensor) -> Tensor:
    middle = (Q.shape[1] + REAL_BINS) // 2
    re, im = slice(REAL_BINS, middle), slice(middle, None)
    cross = torch.addcmul(Q[:, re] * K[:, im], Q[:, im], K[:, re])
    product = multiplied(Q, K)
    product[:, re] -= product[:, im]
    product[:, im] = cross
    return product
