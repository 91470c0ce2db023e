"""The product of the spectra of patches, in real numbers.

With the spectra as 64 real numbers (see `ops/patch_spectrum.py`), X = D p, the complex product is, bin by bin,

    Re A = Re Q · Re K − Im Q · Im K,    Im A = Re Q · Im K + Im Q · Re K,    A = D⁻¹ (Re A, Im A)

and a plain product for the four bins that are real.
"""

import torch
from torch import Tensor

from pellucid.ops.patch_spectrum import REAL_BINS, from_spectrum, in_full_precision, to_spectrum


def spectral_product(q: Tensor, k: Tensor) -> Tensor:
    """Same values and gradients as the reference, at least in float32."""
    with in_full_precision(q.device):
        product = _complex_product(to_spectrum(q), to_spectrum(k))
        return from_spectrum(product, *q.shape[1:3]).to(q.dtype)


def _complex_product(Q: Tensor, K: Tensor) -> Tensor:
    paired = (Q.shape[1] - REAL_BINS) // 2
    (q, q_re, q_im), (k, k_re, k_im) = (X.split([REAL_BINS, paired, paired], dim=1) for X in (Q, K))
    real = torch.addcmul(q_re * k_re, q_im, k_im, value=-1)
    imaginary = torch.addcmul(q_re * k_im, q_im, k_re)
    return torch.cat([q * k, real, imaginary], dim=1)
