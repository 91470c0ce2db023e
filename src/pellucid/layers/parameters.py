"""Parameters of torch's modules as the ops take them."""

import torch
from torch import Tensor, nn


def weight_and_bias(convolution: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Return both of a convolution that has both."""
    assert convolution.bias is not None
    return convolution.weight, convolution.bias


def matrix_and_bias(convolution: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Return the weight of a 1×1 convolution as (C_out, C), and its bias."""
    weight, bias = weight_and_bias(convolution)
    return weight.flatten(1), bias


def batch_norm_affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return s and t, (C,) each, with norm(x) = s ⊙ x + t by the running statistics: s = γ / √(σ² + ε), t = β − μ s.

    A convolution beside the norm takes them into its weights, so that no pass over memory is left.
    """
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    return scale, norm.bias - norm.running_mean * scale
