"""GFNet and GFNet-H answer the checklist with these."""

from contracts.rows import CheckpointRow, ModuleRow, OpRow, randn
from pellucid.layers import GFBlock, GlobalFilter, LearnedPosition
from pellucid.models.gfnet import GFNet, GFNetConfig
from pellucid.models.gfnet_h import GFNetH, GFNetHConfig
from pellucid.ops.global_filter import fast as global_filter_fast
from pellucid.ops.global_filter import global_filter
from pellucid.ops.global_filter import reference as global_filter_reference

OPS = (
    OpRow(
        name="global_filter",
        op=global_filter,
        reference=global_filter_reference.global_filter,
        fast=global_filter_fast.global_filter,
        inputs=lambda B, H, W: (randn(B, H, W, 3), randn(H, W // 2 + 1, 3, 2)),
        pictures=1,
    ),
)
LAYERS = (
    ModuleRow(name="GlobalFilter", make=lambda: GlobalFilter(3, 19, 11), channels=3, result=lambda H, W: (3, H, W)),
    ModuleRow(  # sides of two factors, and an even width
        name="GlobalFilter-large",
        make=lambda: GlobalFilter(2, 33, 34),
        channels=2,
        result=lambda H, W: (2, H, W),
        sizes=((40, 7), (5, 36), (33, 34)),
    ),
    ModuleRow(
        name="GlobalFilter-interpolated",
        make=lambda: GlobalFilter(3, 4, 6),
        channels=3,
        result=lambda H, W: (3, H, W),
    ),
    ModuleRow(name="GFBlock", make=lambda: GFBlock(4, 9, 19, 11), channels=4, result=lambda H, W: (4, H, W)),
    ModuleRow(
        name="GFBlock-layer-scale",
        make=lambda: GFBlock(4, 9, 5, 5, layer_scale=0.1),
        channels=4,
        result=lambda H, W: (4, H, W),
    ),
    ModuleRow(name="LearnedPosition", make=lambda: LearnedPosition(3, 6, 5), channels=3, result=lambda H, W: (3, H, W)),
)
NETWORKS = (
    ModuleRow(
        name="GFNet",
        make=lambda: GFNet(GFNetConfig(classes=5, image_size=18, patch_size=3, width=4, depth=2, mlp_ratio=1.5)),
        channels=3,
        result=lambda *_: (5,),
        sizes=((3, 3), (5, 19), (18, 18), (31, 22)),
    ),
    ModuleRow(
        name="GFNet-features",
        make=lambda: GFNet(
            GFNetConfig(in_channels=1, classes=0, image_size=8, patch_size=2, width=4, depth=1, layer_scale=0.1)
        ),
        channels=1,
        result=lambda *_: (4,),
        sizes=((2, 2), (18, 9)),
    ),
    ModuleRow(
        name="GFNetH",
        make=lambda: GFNetH(
            GFNetHConfig(classes=5, image_size=23, patch_size=2, widths=(4, 6), depths=(1, 1), mlp_ratios=(2.0, 1.5))
        ),
        channels=3,
        result=lambda *_: (5,),
        sizes=((4, 4), (7, 21), (23, 23), (30, 19)),
    ),
)
CHECKPOINTS = (
    CheckpointRow(name="gfnet_small", system="gfnet"),
    CheckpointRow(name="gfnet_h_small", system="gfnet-h"),
)
PUBLIC = {
    "pellucid.layers": ["GFBlock", "GlobalFilter", "LearnedPosition"],
    "pellucid.ops.global_filter": ["PackedFilter", "apply_packed", "global_filter", "pack_filter", "why_not"],
}
