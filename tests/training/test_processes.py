"""Runs in processes of their own: killed without warning, and two that train together."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

TESTS = Path(__file__).parent.parent
TRAIN = [
    "-c",
    f"""
import sys
sys.path.insert(0, {str(TESTS)!r})
from pathlib import Path
from little import LITTLE
from pellucid.data.degradations import GaussianNoise
from pellucid.models.restormer import RestormerConfig
from pellucid.training import Cosine, Phase, Recipe, train

recipe = Recipe(
    task="denoise", network=RestormerConfig(**LITTLE), degradation=GaussianNoise(), ema=0.8,
    phases=(Phase(20, 2, 8), Phase(50, 4, 12), Phase(60, 2, 16)), schedule=Cosine(warmup=3),
)
print("begun", flush=True)
train(recipe, [Path(sys.argv[1])], Path(sys.argv[2]), log_every=1, save_every=7,
      report=lambda progress: print(progress.step, flush=True))
""",
]


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory):
    run = tmp_path_factory.mktemp("whole")
    subprocess.run([sys.executable, *TRAIN, folder, run], check=True, capture_output=True)
    return run


def losses(run):
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, 61))
    return [row["loss"] for row in rows]


def test_killed_at_random_and_again_ends_bit_equal(folder, whole, tmp_path):
    """SIGKILL in the middle of whatever goes on at a random moment after a random step, twice."""
    chance = random.Random()
    for _ in range(2):
        process = subprocess.Popen([sys.executable, *TRAIN, folder, tmp_path], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        first = process.stdout.readline()
        if not first:
            break  # the run has come to its end
        for _ in range(chance.randrange(20)):
            process.stdout.readline()
        time.sleep(chance.random() * 0.03)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    subprocess.run([sys.executable, *TRAIN, folder, tmp_path], check=True, capture_output=True)
    assert losses(tmp_path) == losses(whole)
    assert (tmp_path / "weights.safetensors").read_bytes() == (whole / "weights.safetensors").read_bytes()
    states = [torch.load(run / "state.pt", weights_only=True) for run in (tmp_path, whole)]
    for part in ("network", "average"):
        assert all(torch.equal(states[0][part][name], tensor) for name, tensor in states[1][part].items())


def test_two_processes_train_as_one(folder, whole, tmp_path):
    """The same batches in halves: each loss within 1 in 100 of one process's, the first within 1 in 10⁶."""
    launch = ["-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", "--no-python", sys.executable]
    done = subprocess.run([sys.executable, *launch, *TRAIN, folder, tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.findall("begun", done.stdout) == ["begun"] * 2
    assert "Warning" not in done.stderr
    together, alone = losses(tmp_path), losses(whole)
    assert together[0] == pytest.approx(alone[0], rel=1e-6)
    assert together == pytest.approx(alone, rel=1e-2)


def test_precision_that_would_need_scaled_gradients_is_refused(folder, tmp_path):
    done = subprocess.run(
        [sys.executable, *TRAIN, folder, tmp_path],
        capture_output=True,
        text=True,
        env={**os.environ, "ACCELERATE_MIXED_PRECISION": "fp16"},
    )
    assert "UsageError: training has no precision fp16" in done.stderr
