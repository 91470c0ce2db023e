"""Measures of quality, with the protocol in the name."""

from pellucid.metrics.alignment import best_aligned
from pellucid.metrics.fidelity import (
    SSIM_WINDOW,
    luma,
    psnr_grey,
    psnr_rgb,
    psnr_y,
    ssim_grey,
    ssim_rgb,
    ssim_y,
)

__all__ = [
    "SSIM_WINDOW",
    "best_aligned",
    "luma",
    "psnr_grey",
    "psnr_rgb",
    "psnr_y",
    "ssim_grey",
    "ssim_rgb",
    "ssim_y",
]
