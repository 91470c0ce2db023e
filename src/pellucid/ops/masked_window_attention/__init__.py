"""Window attention that sees even displacements only, so that a pixel meets none but those of its own parity."""

from torch import Tensor

from pellucid.ops.masked_window_attention import fast
from pellucid.ops.masked_window_attention.fast import lattice_window_attention

__all__ = ["check_blind_spot", "lattice_window_attention", "masked_window_attention"]


def masked_window_attention(q: Tensor, k: Tensor, v: Tensor, height: Tensor, width: Tensor, window: int) -> Tensor:
    """Attend from every window of queries to the overlapping window of keys around it, at even displacements.

    TBSN (Li et al., AAAI 2025), the attention inside M-WSA: Σ_j softmax_j(q_i · (k_j + H[j₁−i₁] + W[j₂−i₂]) / √d) v_j
    over the keys j whose displacement from i is even in both directions. Keys outside the picture are zero: they count
    in the softmax, and add nothing.

    Args:
        q, k, v: (B, H, W, h·d) each; head i owns channels [i·d, (i+1)·d).
        height, width: the position vectors H and W, (2o − 1, d) each, row o − 1 for displacement 0, where o is the
            side of the overlapping window; shared by all heads.
        window: side of a window; they start at the upper left corner, and the last may reach out of the picture.

    Returns:
        (B, H, W, h·d)

    Raises:
        ValueError: shapes disagree, or the windows would show a pixel to itself.
    """
    if q.ndim != 4 or q.shape != k.shape or q.shape != v.shape:
        raise ValueError(f"q, k and v must share one (B, H, W, C) shape, not {q.shape}, {k.shape}, {v.shape}")
    if height.ndim != 2 or height.shape != width.shape or height.shape[0] % 2 == 0 or q.shape[3] % height.shape[1]:
        raise ValueError(
            f"height and width must be (2·overlap − 1, d), with d dividing {q.shape[3]} channels, "
            f"not {tuple(height.shape)} and {tuple(width.shape)}"
        )
    check_blind_spot(window, (height.shape[0] + 1) // 2)
    return fast.masked_window_attention(q, k, v, height, width, window)


def check_blind_spot(window: int, overlap: int) -> None:
    """Check that the mask of these windows leaves the even displacements.

    The mask compares places inside the two windows. These differ from displacements in the picture by the reach
    (overlap − window) / 2, so with an odd reach it would leave exactly the odd displacements.

    Raises:
        ValueError: it does not, or the windows do not fit one another.
    """
    if window < 1 or overlap < window or overlap % 2 or (overlap - window) % 4:
        raise ValueError(
            f"window {window} with overlapping window {overlap} is not safe for a blind spot: the latter must be even "
            "and larger than the former by a multiple of 4"
        )
