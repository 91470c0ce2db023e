"""The lattices of a picture: pixels that share (row mod step, column mod step); for step 2 its four parity lattices.

An operation whose displacements are all even maps each lattice into itself, and on a lattice it is the same operation
with half the displacements: a 3×3 convolution of dilation 2 is an ordinary one, a patch-unshuffle a pixel-unshuffle. So
what stays inside a lattice cannot see the pixels of another, which is how a blind-spot network keeps its spot blind.

The move to lattices is also the pixel-shuffle down-sampling of AP-BSN (Lee et al., CVPR 2022): neighbours on a lattice
are `step` pixels apart in the picture, where noise that spreads over fewer pixels does not reach.
"""

from torch import Tensor


def to_lattices(x: Tensor, step: int = 2) -> Tensor:
    """Stack the lattices of x, (B, C, H, W) with H and W multiples of s = step, on the batch axis: (s²B, C, H/s, W/s).

    Those of one picture follow one another, in the order of (row mod s, column mod s).
    """
    return split_lattices(x.permute(0, 2, 3, 1), step).flatten(0, 2).permute(0, 3, 1, 2)


def from_lattices(x: Tensor, step: int = 2) -> Tensor:
    """Return (B, C, s h, s w) from its lattices (s²B, C, h, w)."""
    return join_lattices(group_lattices(x.permute(0, 2, 3, 1), step)).permute(0, 3, 1, 2)


def split_lattices(x: Tensor, step: int = 2) -> Tensor:
    """View x, (B, H, W, C), as lattices (B, s, s, H/s, W/s, C); nothing is copied."""
    B, H, W, C = x.shape
    return x.view(B, H // step, step, W // step, step, C).permute(0, 2, 4, 1, 3, 5)


def group_lattices(x: Tensor, step: int = 2) -> Tensor:
    """View lattices stacked on the batch axis, (s²B, h, w, C), as (B, s, s, h, w, C)."""
    return x.view(-1, step, step, *x.shape[1:])


def join_lattices(x: Tensor) -> Tensor:
    """Return (B, s h, s w, C) from lattices (B, s, s, h, w, C), with no copy where they were split from one tensor."""
    return x.permute(0, 3, 1, 4, 2, 5).flatten(3, 4).flatten(1, 2)
