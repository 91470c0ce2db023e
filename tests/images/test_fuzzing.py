"""Damaged files are read or refused in one sentence: no crash, no hang, no memory beyond the budget."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

CORPUS = Path(__file__).with_name("fuzzing.py")


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is read from Linux's /proc")
def test_damaged_files_do_no_harm():
    """In a process of its own, as a crash would take the tests with it, and its memory is measured."""
    command = [sys.executable, str(CORPUS), "2400", "0"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert sum(found["became"].values()) > 2400
    assert found["became"]["read"] > 500  # much damage does no harm; else the corpus would prove little
    assert found["became"]["refused"] > 500
    assert "memory" not in found["became"]
    assert found["by stripes"]["read"] > 200
    assert found["by stripes"]["refused"] > 100
    assert "refused by stripes" not in found["by stripes"]
    assert found["by stripes"].get("refused as a whole", 0) < 3  # libpng looks at more of what it does not need
    assert found["seconds"] < 10, found["slowest"]
    assert found["bytes"] < 256 * 2**20
