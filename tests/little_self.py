"""Learning from noisy pictures alone, by networks that are so small that a step takes no time."""

import pytest

from pellucid.models.tbsn import TBSNConfig
from pellucid.selfsupervised import denoise, distil, fit, learner


def with_little_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all runs be of such networks, and as short as a dozen steps where a time is given."""
    monkeypatch.setattr(fit, "TBSN_PRESETS", {"small": TBSNConfig(width=8, blocks=(1, 1, 1), refinement=1)})
    monkeypatch.setattr(fit, "_CROP", 32)
    monkeypatch.setattr(fit, "_BATCH", 1)
    monkeypatch.setattr(distil, "_WIDTH", 4)
    monkeypatch.setattr(distil, "_CROP", 32)
    monkeypatch.setattr(learner, "_FEWEST_STEPS", 12)
    for start in ("TEACHER", "STUDENT"):  # what is bundled is larger
        monkeypatch.setattr(denoise, start, None)
