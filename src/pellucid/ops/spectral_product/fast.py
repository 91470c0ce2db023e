"""The product of the spectra of patches, in real numbers.

With the spectra as 64 real numbers (see `ops/patch_spectrum.py`), a product of complex numbers along each axis: with
the index of a real frequency, a cosine or a sine,

    (x y)_r = x_r y_r,    (x y)_c = x_c y_c − x_s y_s,    (x y)_s = x_c y_s + x_s y_c

applied to columns whose numbers are multiplied by the same rule along rows. The imaginary units of the two axes
commute, so that numbers of four parts are multiplied as tensors of complex numbers are.
"""

import torch
from torch import Tensor

from pellucid.ops.patch_spectrum import COSINES, SINES, from_spectrum, to_spectrum
from pellucid.ops.patches import pad_to_patches
from pellucid.ops.precision import without_autocast


def spectral_product(q: Tensor, k: Tensor) -> Tensor:
    """Same values and gradients as the reference, at least in float32."""
    _, H, W, _ = q.shape
    q, k = pad_to_patches(q), pad_to_patches(k)
    with without_autocast(q.device):
        product = _product(to_spectrum(q), to_spectrum(k))
        return from_spectrum(product, q.shape[1], q.shape[2])[:, :H, :W].to(q.dtype)


def _product(Q: Tensor, K: Tensor) -> Tensor:
    (q_c, q_s), (k_c, k_s) = ([X[:, :, :, part] for part in (COSINES, SINES)] for X in (Q, K))
    out = _product_of_rows(Q, K)
    out[:, :, :, COSINES] -= out[:, :, :, SINES]
    out[:, :, :, SINES] = _product_of_rows(q_c, k_s).add_(_product_of_rows(q_s, k_c))
    return out


def _product_of_rows(x: Tensor, y: Tensor) -> Tensor:
    """Multiply number by number along columns, by the rule along rows."""
    product = x * y
    product[:, COSINES] -= product[:, SINES]
    product[:, SINES] = torch.addcmul(x[:, COSINES] * y[:, SINES], x[:, SINES], y[:, COSINES])
    return product
