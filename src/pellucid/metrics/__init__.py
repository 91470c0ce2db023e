"""Measures of quality, with the protocol in the name."""

from pellucid.metrics.fidelity import SSIM_WINDOW, psnr_rgb, ssim_rgb

__all__ = ["SSIM_WINDOW", "psnr_rgb", "ssim_rgb"]
