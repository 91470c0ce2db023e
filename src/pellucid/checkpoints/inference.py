"""Reading off tensors' names and shapes what several papers' networks have in common."""

from collections.abc import Mapping, Sequence

from torch import Tensor


def count_blocks(tensors: Mapping[str, Tensor], stage: str) -> int:
    """Return how many blocks a stage has: of names such as `stage.3.norm.weight`, how many differ in the number."""
    prefix = f"{stage}."
    return len({name.removeprefix(prefix).split(".", 1)[0] for name in tensors if name.startswith(prefix)})


def shared_expansion(hidden_and_channels: Sequence[tuple[int, int]], preferred: Sequence[float] = ()) -> float:
    """Find γ with ⌊γ C⌋ = m at every level: a preferred one that fits, else the shortest decimal that does.

    The widths only bracket it: max m/C ≤ γ < min (m + 1)/C.

    Raises:
        ValueError: there is none.
    """
    if not hidden_and_channels or not all(channels for _, channels in hidden_and_channels):
        raise ValueError("a feed-forward layer has no channels")
    low = max(hidden / channels for hidden, channels in hidden_and_channels)
    high = min((hidden + 1) / channels for hidden, channels in hidden_and_channels)
    for candidate in (*preferred, *(round((low + high) / 2, digits) for digits in range(8)), low):
        if all(int(channels * candidate) == hidden for hidden, channels in hidden_and_channels):
            return candidate
    raise ValueError("the feed-forward widths of the levels do not share one expansion factor")
