"""No network access at run time: neither importing nor restoring opens a socket."""

import socket
import subprocess
import sys

import pytest

from little import little_picture
from pellucid.tasks import RestoreOptions, Restorer, plan_jobs, restore_files

# Python tells its audit hooks of every socket, also of those that C code asks Python for.
GUARD = """
import sys

def no_network(event, arguments):
    if event.startswith("socket.") or event == "urllib.Request":
        print("refused:", event, arguments, file=sys.stderr)
        raise RuntimeError(f"{event} is network access")

sys.addaudithook(no_network)
"""
EVERYTHING = """
import pkgutil
from importlib import import_module
import pellucid

names = [info.name for info in pkgutil.walk_packages(pellucid.__path__, "pellucid.")]
for name in names:
    if name != "pellucid.__main__":
        import_module(name)
print(len(names))
"""
RESTORE = """
from pellucid.cli import main
main()
"""


def guarded(code, *arguments):
    return subprocess.run([sys.executable, "-c", GUARD + code, *arguments], capture_output=True, text=True)


def test_the_guard_has_teeth():
    for code in ("import socket; socket.socket()", "import urllib.request as u; u.urlopen('http://localhost:9')"):
        done = guarded(code)
        assert done.returncode != 0
        assert "refused:" in done.stderr


def test_importing_everything():
    done = guarded(EVERYTHING)
    assert done.returncode == 0, done.stderr
    assert "refused:" not in done.stderr
    assert int(done.stdout) > 40


def test_restoring_from_the_command_line(weights, tmp_path):
    little_picture().save(tmp_path / "a.png")
    done = guarded(RESTORE, "restore", str(tmp_path / "a.png"), "--weights", str(weights), "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert (tmp_path / "a-restored.png").exists()


def test_restoring_in_python(weights, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("this is network access")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    with pytest.raises(AssertionError):
        socket.socket()
    little_picture().save(tmp_path / "a.png")
    restorer = Restorer(RestoreOptions(weights=weights, device="cpu"))
    (outcome,) = restore_files(restorer, plan_jobs([tmp_path / "a.png"], None), overwrite=False)
    assert outcome.error is None
