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
    if kind is None or kind.scale != 1:
        with pytest.raises(UsageError, match="does not restore a picture at its own size"):
            Restorer(RestoreOptions(weights=weights, device="cpu"))
        return
    picture = little_picture(21, 34, channels=kind.channels)
    restored = Restorer(RestoreOptions(weights=weights, device="cpu"))(picture)
    with torch.inference_mode():
        image = torch.from_numpy(picture.pixels).permute(2, 0, 1)[None] * kind.white
        expected = (pellucid.load(weights)(image)[0].permute(1, 2, 0) / kind.white).clamp(0, 1)
    assert restored.pixels.dtype == np.float32
    assert_close(torch.from_numpy(restored.pixels), expected)


def test_which_restore():
    """Networks that enlarge, take two views, classify or segment do not; another size of white is known."""
    restoring = {row.name for row in CHECKPOINTS if _restores(row)}
    assert restoring == {
        "fftformer_small",
        "grl_grouped",
        "grl_local_denoise",
        "restormer_color_biasfree",
        "restormer_gray_withbias",
        "tbsn_small",
        "tbsn_unet_ours",
    }
    described = checkpoints.describe(next(row.path for row in CHECKPOINTS if row.name == "tbsn_small"))
    assert checkpoints.SYSTEMS["tbsn"].restoration(described.config).white == 255


def _restores(row):
    described = checkpoints.describe(row.path, **row.settings)
    kind = checkpoints.SYSTEMS[described.system].restoration(described.config)
    return kind is not None and kind.scale == 1
