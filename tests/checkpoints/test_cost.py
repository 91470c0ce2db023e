"""What a tile costs is what the adapters' formulas say: never more, and not much less."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import cost_probe
from pellucid.checkpoints import SYSTEMS

PROBE = Path(cost_probe.__file__)


@pytest.fixture(scope="module")
def peaks():
    done = subprocess.run([sys.executable, PROBE], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.skipif(
    sys.platform != "linux", reason="the peak of a process without its parent's is read from Linux's /proc"
)
@pytest.mark.parametrize("name", cost_probe.CASES)
def test_peak_stays_within_the_formula(peaks, name):
    system, config = cost_probe.CASES[name]
    formula = SYSTEMS[system].restoration(config).bytes(*cost_probe.SHAPE)
    assert 0.4 * formula < peaks[name] <= formula


@pytest.mark.parametrize("name", cost_probe.CASES)
def test_cost_grows_with_the_padded_tile(name):
    system, config = cost_probe.CASES[name]
    kind = SYSTEMS[system].restoration(config)
    side = kind.multiple
    assert kind.bytes(1, 1) == kind.bytes(side, side) < kind.bytes(side, side + 1) == kind.bytes(side, 2 * side)
    for memory in (0, kind.bytes(side, 5 * side) - 1, kind.bytes(side, 5 * side)):
        widest = kind.widest(side, memory)
        assert widest == 0 or kind.bytes(side, widest) <= memory
        assert kind.bytes(side, widest + side) > memory


@pytest.mark.parametrize("system", [name for name, system in SYSTEMS.items() if system.presets])
def test_every_preset_that_restores_has_a_layout(system):
    for config in SYSTEMS[system].presets.values():
        kind = SYSTEMS[system].restoration(config)
        if kind is not None:
            assert kind.overlap % kind.multiple == 0
            assert kind.overlap > 0
            assert kind.bytes_per_pixel > 8 * kind.channels
