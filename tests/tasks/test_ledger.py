"""A batch run again does what is left, replaces nothing that is not its own, and shares the work with others."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from little import little_picture
from pellucid.errors import PellucidError
from pellucid.files import atomic_path, remove_abandoned
from pellucid.tasks import RestoreOptions, Restorer, plan_jobs, restore_files
from pellucid.tasks.ledger import LEDGER_NAME, Ledger, sha256_of


@pytest.fixture(scope="module")
def restorer(weights):
    return Restorer(RestoreOptions(weights=weights, device="cpu"))


@pytest.fixture
def folder(tmp_path):
    """A folder of two pictures, restored once."""
    (tmp_path / "in").mkdir()
    for seed, name in enumerate(("a.png", "b.png")):
        little_picture(seed=seed).save(tmp_path / "in" / name)
    return tmp_path


def run(restorer, folder, *, overwrite=False):
    """What became of each file, its error where it failed."""
    jobs = plan_jobs([folder / "in"], folder / "out")
    outcomes = restore_files(restorer, jobs, overwrite=overwrite)
    return {outcome.job.source.name: outcome.error or outcome.status for outcome in outcomes}


def lines(folder):
    return [json.loads(line) for line in (folder / "out" / LEDGER_NAME).read_text().splitlines()]


def results(folder):
    return {path.name: path.read_bytes() for path in (folder / "out").glob("[!.]*")}


def test_what_is_done_is_not_done_again(restorer, folder):
    assert run(restorer, folder) == {"a.png": "restored", "b.png": "restored"}
    before = results(folder)
    for overwrite in (False, True):
        assert run(restorer, folder, overwrite=overwrite) == {"a.png": "done already", "b.png": "done already"}
    assert results(folder) == before
    (folder / "out" / "b.png").unlink()
    assert run(restorer, folder) == {"a.png": "done already", "b.png": "restored"}
    assert results(folder) == before


def test_a_line_says_what_made_the_result(restorer, weights, folder):
    run(restorer, folder)
    line = lines(folder)[0]
    assert set(line) == {"target", "target_sha256", "source", "source_sha256", "settings", "time"}
    assert (line["target"], line["source"]) == ("a.png", "../in/a.png")
    assert line["target_sha256"] == sha256_of(folder / "out" / "a.png")
    assert line["source_sha256"] == sha256_of(folder / "in" / "a.png")
    settings = {"task": "denoise", "strength": 1.0, "dtype": "float32", "weights": sha256_of(weights)}
    assert line["settings"].items() >= settings.items()
    assert not {"memory", "device"} & set(line["settings"])


def test_other_settings_need_overwrite(restorer, weights, folder):
    run(restorer, folder)
    before = results(folder)
    weaker = Restorer(RestoreOptions(weights=weights, device="cpu", strength=0.5))
    assert all("exists; pass --overwrite" in error for error in run(weaker, folder).values())
    assert results(folder) == before
    assert set(run(weaker, folder, overwrite=True).values()) == {"restored"}
    assert results(folder) != before
    assert set(run(weaker, folder).values()) == {"done already"}
    assert all("exists" in error for error in run(restorer, folder).values())
    assert set(run(restorer, folder, overwrite=True).values()) == {"restored"}
    assert results(folder) == before


def test_a_changed_source_needs_overwrite(restorer, folder):
    run(restorer, folder)
    little_picture(seed=5).save(folder / "in" / "a.png", overwrite=True)
    found = run(restorer, folder)
    assert "exists" in found["a.png"]
    assert found["b.png"] == "done already"
    assert run(restorer, folder, overwrite=True) == {"a.png": "restored", "b.png": "done already"}


@pytest.mark.parametrize("content", [b"mine", b""])
def test_what_somebody_else_put_there_is_kept(restorer, folder, content):
    run(restorer, folder)
    (folder / "out" / "a.png").write_bytes(b"retouched by hand")
    (folder / "out" / "b.png").unlink()
    (folder / "out" / "b.png").mkdir()
    found = run(restorer, folder)
    assert "exists" in found["a.png"]
    assert "it is a folder" in found["b.png"]
    assert (folder / "out" / "a.png").read_bytes() == b"retouched by hand"
    little_picture().save(folder / "in" / "c.png")
    (folder / "out" / "c.png").write_bytes(content)
    assert "exists" in run(restorer, folder)["c.png"], "an empty file, too, that no line announces"
    assert (folder / "out" / "c.png").read_bytes() == content


@pytest.mark.parametrize("end", [b'{"target": "b.png", "targ', b"\xff\0garbage", b"[]\n", b"{}\n", b'"text"\n\n\n'])
def test_torn_and_foreign_lines_say_nothing(restorer, folder, end):
    run(restorer, folder)
    ledger = folder / "out" / LEDGER_NAME
    first = ledger.read_bytes().splitlines(keepends=True)[0]
    ledger.write_bytes(first + end)
    found = run(restorer, folder)
    assert found["a.png"] == "done already"
    assert "exists" in found["b.png"]
    (folder / "out" / "b.png").unlink()
    assert run(restorer, folder) == {"a.png": "done already", "b.png": "restored"}
    assert set(run(restorer, folder).values()) == {"done already"}


def test_a_ledger_that_cannot_be_kept_is_a_sentence_for_each_file(restorer, folder):
    (folder / "out" / LEDGER_NAME).mkdir(parents=True)
    for error in run(restorer, folder).values():
        assert "cannot keep" in error
        assert "\n" not in error
    assert results(folder) == {}


def test_single_files_need_no_ledger(restorer, folder):
    for output in (None, folder / "x.png", folder):
        list(restore_files(restorer, plan_jobs([folder / "in" / "a.png"], output), overwrite=True))
    assert not list(folder.rglob(LEDGER_NAME))


def test_names_that_are_no_text(restorer, tmp_path):
    name = os.fsdecode(b"caf\xe9 \xf0\x9f\x93\xb7.png")
    (tmp_path / "in").mkdir()
    little_picture().save(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "a.png").rename(tmp_path / "in" / name)
    assert run(restorer, tmp_path) == {name: "restored"}
    assert run(restorer, tmp_path) == {name: "done already"}


ELSEWHERE = """
import sys
from pathlib import Path
from pellucid.files import atomic_path
from pellucid.tasks.ledger import Ledger

folder = Path(sys.argv[1])
with Ledger(folder).claim(folder / "a.png", wait=True) as held, atomic_path(folder / "a.png", overwrite=False) as part:
    print(held, part.name, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def elsewhere(folder):
    """Another process that is at work on the first file."""
    (folder / "out").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", ELSEWHERE, folder / "out"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    held, part = process.stdout.readline().split()
    assert held == "True"
    yield process, folder / "out" / part
    process.kill()
    process.communicate()


def test_what_another_process_is_at_comes_last(restorer, folder, elsewhere):
    process, part = elsewhere
    outcomes = restore_files(restorer, plan_jobs([folder / "in"], folder / "out"), overwrite=False)
    assert next(outcomes).job.source.name == "b.png"
    assert part.exists(), "it is not abandoned"
    process.kill()
    outcome = next(outcomes)
    assert (outcome.job.source.name, outcome.status) == ("a.png", "restored")
    assert part.exists()
    remove_abandoned(folder / "out")
    assert not part.exists()


def test_what_another_process_has_done_meanwhile_is_done(restorer, folder):
    """It appears when this batch has already looked at everything."""
    jobs = plan_jobs([folder / "in"], folder / "out")
    slow = restore_files(restorer, jobs, overwrite=False)
    assert next(slow).status == "restored"
    quick = [outcome.status for outcome in restore_files(restorer, jobs, overwrite=False)]
    assert quick == ["done already", "restored"]
    assert [outcome.status for outcome in slow] == ["done already"]


def test_a_result_that_appears_while_it_is_looked_for(restorer, folder, monkeypatch):
    jobs = plan_jobs([folder / "in"], folder / "out")
    read = Ledger.read

    def meanwhile(self):
        read(self)
        monkeypatch.setattr(Ledger, "read", read)
        list(restore_files(restorer, jobs, overwrite=False))

    monkeypatch.setattr(Ledger, "read", meanwhile)
    assert {outcome.status for outcome in restore_files(restorer, jobs, overwrite=False)} == {"done already"}


def test_temporary_files_of_others_are_left_alone(tmp_path):
    (tmp_path / ".pellucid-mine.part").touch()
    (tmp_path / ".pellucid-0123456789abcdef.part").mkdir()
    (tmp_path / ".pellucid-fedcba9876543210.part").touch()
    with atomic_path(tmp_path / "a", overwrite=False) as temporary:
        remove_abandoned(tmp_path)
        assert temporary.exists()
    left = {".pellucid-mine.part", ".pellucid-0123456789abcdef.part", "a"}
    assert {path.name for path in tmp_path.iterdir()} == left
    remove_abandoned(tmp_path / "nowhere")
    remove_abandoned(Path("n" * 300))


def test_a_temporary_file_taken_for_abandoned_too_early_is_made_anew(tmp_path, monkeypatch):
    """Between making it and locking it, another process may clear it away."""
    opened = os.open
    calls = []

    def cleared(path, *arguments, **options):
        number = opened(path, *arguments, **options)
        if str(path).endswith(".part") and not calls:
            calls.append(path)
            os.unlink(path)
        return number

    monkeypatch.setattr(os, "open", cleared)
    with atomic_path(tmp_path / "a", overwrite=False) as temporary:
        assert temporary != calls[0]
        temporary.write_bytes(b"whole")
    assert (tmp_path / "a").read_bytes() == b"whole"


def test_what_is_raised_before_the_move_moves_nothing(tmp_path):
    def refuse(whole):
        assert whole.read_bytes() == b"whole"
        raise PellucidError("no")

    with (
        pytest.raises(PellucidError, match=r"^no$"),
        atomic_path(tmp_path / "a", overwrite=False, before_move=refuse) as temporary,
    ):
        temporary.write_bytes(b"whole")
    assert list(tmp_path.iterdir()) == []
