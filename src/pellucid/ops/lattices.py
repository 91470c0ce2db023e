"""The four parity lattices of a picture: the pixels that share (row mod 2, column mod 2).

An operation whose displacements are all even maps each lattice into itself, and on a lattice it is the same operation
with half the displacements: a 3×3 convolution of dilation 2 is an ordinary one, a patch-unshuffle a pixel-unshuffle. So
what stays inside a lattice cannot see the pixels of another, which is how a blind-spot network keeps its spot blind.
"""

from torch import Tensor


def to_lattices(x: Tensor) -> Tensor:
    """Stack the lattices of x, (B, C, H, W) with even H and W, on the batch axis: (4B, C, H/2, W/2).

    Those of one picture follow one another, in the order of (row mod 2, column mod 2).
    """
    return split_lattices(x.permute(0, 2, 3, 1)).flatten(0, 2).permute(0, 3, 1, 2)


def from_lattices(x: Tensor) -> Tensor:
    """Return (B, C, 2h, 2w) from its lattices (4B, C, h, w)."""
    return join_lattices(group_lattices(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)


def split_lattices(x: Tensor) -> Tensor:
    """View x, (B, H, W, C) with even H and W, as lattices (B, 2, 2, H/2, W/2, C); nothing is copied."""
    B, H, W, C = x.shape
    return x.view(B, H // 2, 2, W // 2, 2, C).permute(0, 2, 4, 1, 3, 5)


def group_lattices(x: Tensor) -> Tensor:
    """View lattices stacked on the batch axis, (4B, h, w, C), as (B, 2, 2, h, w, C)."""
    return x.view(-1, 2, 2, *x.shape[1:])


def join_lattices(x: Tensor) -> Tensor:
    """Return (B, 2h, 2w, C) from lattices (B, 2, 2, h, w, C), without a copy where they were split from one tensor."""
    return x.permute(0, 3, 1, 4, 2, 5).flatten(3, 4).flatten(1, 2)
