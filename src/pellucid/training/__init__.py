"""Training: recipes, the optimizer, the run."""

from pellucid.training.catalogue import RECIPES
from pellucid.training.loop import Progress, train
from pellucid.training.recipes import Cosine, Phase, Recipe, Staircase
from pellucid.training.settings import changed

__all__ = ["RECIPES", "Cosine", "Phase", "Progress", "Recipe", "Staircase", "changed", "train"]
