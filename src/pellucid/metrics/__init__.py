"""Measures of quality, with the protocol in the name."""

from pellucid.metrics.fidelity import psnr_rgb, ssim_rgb

__all__ = ["psnr_rgb", "ssim_rgb"]
