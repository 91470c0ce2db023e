"""A linear map of each pixel and its activation, written as the equation."""

import torch
from torch import Tensor
from torch.nn import functional as F

ACTIVATIONS = {"gelu": F.gelu, "silu": F.silu, "tanh": torch.tanh}


def activated_linear(x: Tensor, weight: Tensor, bias: Tensor, activation: str) -> Tensor:
    """f(W x + b), where f is GELU, ½ z (1 + erf(z / √2)); SiLU, z / (1 + exp(−z)); or tanh."""
    return ACTIVATIONS[activation](F.linear(x, weight, bias))
