"""A batch killed at any moment and run again ends with the same files."""

import subprocess
import sys
from pathlib import Path

from little import little_picture

ROOT = Path(__file__).parent.parent.parent


def output_of(*command):
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_killed_at_every_call_of_the_system(weights, tmp_path):
    (tmp_path / "in" / "below").mkdir(parents=True)
    little_picture().save(tmp_path / "in" / "below" / "a.png")
    calls = output_of(ROOT / "tests" / "kill_everywhere.py", weights, tmp_path / "in", tmp_path / "out")
    assert min(map(int, calls.split())) > 9  # the folders, the temporary files, the ledger, the moves


def test_killed_at_random():
    assert "in the end they equal" in output_of(ROOT / "benchmarks" / "kill_batch.py", "--kills", 8, "--pictures", 4)
