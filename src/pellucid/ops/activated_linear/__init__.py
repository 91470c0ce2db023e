"""A linear map of each pixel, activated."""

from torch import Tensor

from pellucid.ops.activated_linear import fast, reference

__all__ = ["activated_linear"]


def activated_linear(x: Tensor, weight: Tensor, bias: Tensor, activation: str) -> Tensor:
    """Compute f(W x + b), with f the exact GELU, SiLU or tanh.

    Three such pairs make up CloFormer (Fan et al., 2023): two in AttnConv, one in ConvFFN.

    Args:
        x: (B, H, W, C).
        weight: W, (C_out, C).
        bias: b, (C_out,).
        activation: "gelu", "silu" or "tanh".

    Returns:
        (B, H, W, C_out)

    Raises:
        ValueError: shapes disagree, or there is no such activation.
    """
    if activation not in reference.ACTIVATIONS:
        raise ValueError(f"the activation must be one of {', '.join(reference.ACTIVATIONS)}, not {activation!r}")
    if x.ndim != 4 or weight.shape != (bias.shape[0], x.shape[-1]):
        shapes = f"{tuple(x.shape)}, {tuple(weight.shape)}, {tuple(bias.shape)}"
        raise ValueError(f"x, weight and bias must be (B, H, W, C), (C_out, C) and (C_out,), not {shapes}")
    return (reference if fast.why_not(x, weight, bias) else fast).activated_linear(x, weight, bias, activation)
