"""What the contracts do not ask of CloFormer's ops: what they refuse, and why a path cannot run."""

import pytest
import torch

from pellucid.ops.activated_linear import activated_linear
from pellucid.ops.attn_conv import attn_conv
from pellucid.ops.pooled_attention import pooled_attention


def test_an_unknown_activation_and_shapes_that_disagree_are_refused() -> None:
    x, weight, bias = torch.ones(1, 2, 2, 3), torch.ones(4, 3), torch.ones(4)
    with pytest.raises(ValueError, match="gelu, silu, tanh, not 'relu'"):
        activated_linear(x, weight, bias, "relu")
    for arguments in ((x[0], weight, bias), (x, weight.mT, bias), (x, weight, bias[:3])):
        with pytest.raises(ValueError, match="must be"):
            activated_linear(*arguments, "gelu")


@pytest.mark.parametrize(
    ("place", "wrong"),
    [
        (0, torch.ones(2, 2, 3)),
        (1, torch.ones(11, 3)),
        (2, torch.ones(11)),
        (3, torch.ones(12, 1, 3, 5)),
        (3, torch.ones(12, 1, 4, 4)),
        (4, torch.ones(3)),
        (5, torch.ones(4, 5)),
        (6, torch.ones(5)),
        (8, torch.ones(1)),
        (9, 3),
        (9, 0),
    ],
)
def test_attn_conv_refuses_shapes_that_disagree(place: int, wrong: torch.Tensor | int) -> None:
    matrix, bias = torch.ones(4, 4), torch.ones(4)
    arguments = [
        torch.ones(1, 2, 2, 3),
        torch.ones(12, 3),
        torch.ones(12),
        torch.ones(12, 1, 3, 3),
        torch.ones(12),
        matrix,
        bias,
        matrix,
        bias,
        2,
    ]
    assert attn_conv(*arguments).shape == (1, 2, 2, 4)
    arguments[place] = wrong
    with pytest.raises(ValueError, match="must"):
        attn_conv(*arguments)


def test_pooled_attention_refuses_shapes_that_disagree() -> None:
    q, k = torch.ones(1, 4, 4, 6), torch.ones(1, 2, 2, 6)
    assert pooled_attention(q, k, k, 3).shape == q.shape
    for arguments in ((q, k[..., :3], k[..., :3], 3), (q, k, k[:, :1], 3), (q, k, k, 4), (q, k, k, 0)):
        with pytest.raises(ValueError, match="must"):
            pooled_attention(*arguments)
