"""Running the command line inside the tests' own process, where torch is already there."""

import json
import sys
from typing import NamedTuple

import pytest

from little import smooth_pixels
from pellucid import cli
from pellucid.images import Picture
from pellucid.images.picture import to_floats


class Result(NamedTuple):
    """What a person or a script gets from a command."""

    code: int
    out: str
    err: str

    @property
    def sentence(self):
        """The one complaint there should be."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("pellucid: "), self.err
        assert "Traceback" not in self.err
        return lines[0].removeprefix("pellucid: ")

    @property
    def rows(self):
        """The JSON that was printed, an entry for each line."""
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def run(monkeypatch, capfd):
    """Call the command line as the installed script does."""
    monkeypatch.setattr(cli, "keep_freed_memory", lambda: None)  # a setting of whole processes, and this is pytest's
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["pellucid", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as caught:
            cli.main()
        return Result(caught.value.code or 0, *capfd.readouterr())

    return run


@pytest.fixture
def restore(run, weights):
    """The restore command with the little network."""
    return lambda *arguments: run("restore", *arguments, "--weights", weights, "--device", "cpu")


@pytest.fixture
def photographs(tmp_path):
    folder = tmp_path / "photographs"
    folder.mkdir()
    for i, size in enumerate([(20, 30), (16, 16)]):
        Picture(pixels=to_floats(smooth_pixels(*size))).save(folder / f"{i}.png")
    return folder
