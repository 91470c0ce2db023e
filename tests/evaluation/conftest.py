"""Little pictures in folders, as evaluation finds them."""

import numpy as np
import pytest

from evaluation_pictures import save
from little import smooth_pixels


@pytest.fixture(scope="session")
def grey(tmp_path_factory):
    """A folder with a picture of one colour, grey but stored as RGB."""
    return save(np.full((96, 128, 3), 128, np.uint8), tmp_path_factory.mktemp("flat") / "grey.png").parent


@pytest.fixture(scope="session")
def photographs(tmp_path_factory):
    """A folder of three colour pictures of odd sizes."""
    folder = tmp_path_factory.mktemp("photographs")
    for name, size in {"a": (20, 31), "b": (40, 17), "c": (96, 128)}.items():
        save(smooth_pixels(*size), folder / f"{name}.png")
    return folder
