"""Training: recipes, the optimizer, the run."""

from pellucid.training.denoising import Progress, train_denoiser
from pellucid.training.recipes import RECIPES, DenoisingRecipe, Phase

__all__ = ["RECIPES", "DenoisingRecipe", "Phase", "Progress", "train_denoiser"]
