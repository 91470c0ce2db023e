"""Every system's weights in the tool: those that restore do so as by themselves, the others are refused."""

import numpy as np
import pytest
import torch

import pellucid
from contracts import CHECKPOINTS
from little import little_picture
from pellucid import checkpoints
from pellucid.errors import UsageError
from pellucid.tasks import RestoreOptions, Restorer
from tolerances import assert_close


@pytest.fixture(params=CHECKPOINTS, ids=lambda row: row.name)
def weights(request, tmp_path):
    """A golden network with its configuration, as `pellucid convert` writes it."""
    path = tmp_path / "own.safetensors"
    checkpoints.convert(request.param.path, path, **request.param.settings)
    return path


def restoration_of(path):
    described = checkpoints.describe(path)
    return checkpoints.SYSTEMS[described.system].restoration(described.config)


def test_it_restores_as_by_itself_or_says_that_it_does_not(weights):
    kind = restoration_of(weights)
    if kind is None:
        with pytest.raises(UsageError, match="does not restore pictures"):
            Restorer(RestoreOptions(weights=weights, device="cpu"))
        return
    height, width = kind.multiple + 5, kind.multiple + 18  # smaller ones are drawn out before the network sees them
    picture = little_picture(height, width, channels=kind.channels)
    restored = Restorer(RestoreOptions(weights=weights, device="cpu"))(picture)
    with torch.inference_mode():
        image = torch.from_numpy(picture.pixels).permute(2, 0, 1)[None] * kind.white
        expected = (pellucid.load(weights)(image)[0].permute(1, 2, 0) / kind.white).clamp(0, 1)
    assert restored.pixels.shape == (height * kind.scale, width * kind.scale, kind.channels)
    assert restored.pixels.dtype == np.float32
    assert_close(torch.from_numpy(restored.pixels), expected)


def test_which_restore():
    """Networks that take two views, classify or segment do not; another size of white and another scale are known."""
    kinds = {row.name: kind for row in CHECKPOINTS if (kind := _kind_of(row)) is not None}
    assert set(kinds) == {
        "fftformer_small",
        "grl_grouped",
        "grl_local_denoise",
        "grl_tiny_sr4",
        "restormer_color_biasfree",
        "restormer_gray_withbias",
        "tbsn_small",
        "tbsn_unet_ours",
    }
    assert kinds["tbsn_small"].white == 255
    assert {name for name, kind in kinds.items() if kind.scale > 1} == {"grl_tiny_sr4"}


def _kind_of(row):
    described = checkpoints.describe(row.path, **row.settings)
    return checkpoints.SYSTEMS[described.system].restoration(described.config)
