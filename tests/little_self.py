"""Learning from noisy pictures alone, by networks that are so small that a step takes no time."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch

from pellucid import checkpoints
from pellucid.models.tbsn import TBSN, TBSNConfig
from pellucid.models.tbsn_unet import TBSNUNet, TBSNUNetConfig
from pellucid.selfsupervised import denoise, distil, fit, learner

_TEACHER = TBSNConfig(width=8, blocks=(1, 1, 1), refinement=1)


def with_little_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all runs be of such networks, and as short as a dozen steps where a time is given."""
    monkeypatch.setattr(fit, "TBSN_PRESETS", {"small": _TEACHER})
    monkeypatch.setattr(fit, "_CROP", 32)
    monkeypatch.setattr(fit, "_BATCH", 1)
    monkeypatch.setattr(distil, "_WIDTH", 4)
    monkeypatch.setattr(distil, "_CROP", 32)
    monkeypatch.setattr(learner, "_FEWEST_STEPS", 12)
    folder = Path(_starts().name)
    for start in ("TEACHER", "STUDENT"):  # what is bundled is larger
        monkeypatch.setattr(denoise, start, str(folder / start))


@cache
def _starts() -> TemporaryDirectory[str]:
    """A folder with weights for colour to begin with."""
    folder = TemporaryDirectory()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        checkpoints.save(TBSN(_TEACHER), "tbsn", Path(folder.name) / "TEACHER")
        checkpoints.save(TBSNUNet(TBSNUNetConfig(width=4)), "tbsn-unet", Path(folder.name) / "STUDENT")
    return folder
