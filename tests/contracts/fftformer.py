"""FFTformer answers the checklist with these."""

from contracts.rows import CheckpointRow, ModuleRow, OpRow, randn
from pellucid.layers import DFFN, FSAS
from pellucid.models.fftformer import FFTformer, FFTformerConfig
from pellucid.ops.spectral_product import fast as spectral_product_fast
from pellucid.ops.spectral_product import reference as spectral_product_reference
from pellucid.ops.spectral_product import spectral_product
from pellucid.ops.spectral_weight import fast as spectral_weight_fast
from pellucid.ops.spectral_weight import reference as spectral_weight_reference
from pellucid.ops.spectral_weight import spectral_weight

OPS = (
    OpRow(
        name="spectral_product",
        op=spectral_product,
        reference=spectral_product_reference.spectral_product,
        fast=spectral_product_fast.spectral_product,
        inputs=lambda B, H, W: (randn(B, H, W, 3), randn(B, H, W, 3)),
        pictures=2,
    ),
    OpRow(
        name="spectral_weight",
        op=spectral_weight,
        reference=spectral_weight_reference.spectral_weight,
        fast=spectral_weight_fast.spectral_weight,
        inputs=lambda B, H, W: (randn(B, H, W, 3), randn(5, 8, 5), randn(5, 3), randn(5)),
        pictures=1,
    ),
    OpRow(
        name="spectral_weight-no-bias",
        op=spectral_weight,
        reference=spectral_weight_reference.spectral_weight,
        fast=spectral_weight_fast.spectral_weight,
        inputs=lambda B, H, W: (randn(B, H, W, 3), randn(5, 8, 5), randn(5, 3), None),
        pictures=1,
    ),
)
LAYERS = (
    ModuleRow(name="FSAS", make=lambda: FSAS(4), channels=4, result=lambda H, W: (4, H, W)),
    ModuleRow(name="FSAS-bias", make=lambda: FSAS(3, bias=True), channels=3, result=lambda H, W: (3, H, W)),
    ModuleRow(name="DFFN", make=lambda: DFFN(4, 5), channels=4, result=lambda H, W: (4, H, W)),
    ModuleRow(name="DFFN-bias", make=lambda: DFFN(3, 4, bias=True), channels=3, result=lambda H, W: (3, H, W)),
)
NETWORKS = (
    ModuleRow(
        name="FFTformer",
        make=lambda: FFTformer(FFTformerConfig(width=8, blocks=(1, 1, 1), refinement=0)),
        channels=3,
        result=lambda H, W: (3, H, W),
    ),
    ModuleRow(
        name="FFTformer-unshuffle",
        make=lambda: FFTformer(FFTformerConfig(width=6, blocks=(1, 1, 1), refinement=0, bias=True, unshuffle=2)),
        channels=3,
        result=lambda H, W: (3, H, W),
    ),
)
CHECKPOINTS = (CheckpointRow(name="fftformer_small", system="fftformer"),)
PUBLIC = {
    "pellucid.layers": ["DFFN", "FSAS"],
    "pellucid.ops.spectral_product": ["spectral_product"],
    "pellucid.ops.spectral_weight": ["spectral_weight", "weighted_spectrum"],
}
