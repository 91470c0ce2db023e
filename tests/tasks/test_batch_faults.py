"""Whatever goes wrong with one file of a batch is a sentence about it, leaves nothing behind, and the rest goes on."""

import errno
import os
import resource
import threading

import pytest

from little import little_picture
from pellucid.errors import PellucidError
from pellucid.images import read_picture
from pellucid.tasks import RestoreOptions, Restorer, batch, plan_jobs, restore_files
from pellucid.tasks.ledger import LEDGER_NAME

NAMES = ("a.png", "b.png", "c.png")


@pytest.fixture(scope="module")
def restorer(weights):
    return Restorer(RestoreOptions(weights=weights, device="cpu"))


@pytest.fixture
def folder(tmp_path):
    """A folder of three pictures."""
    (tmp_path / "in").mkdir()
    for seed, name in enumerate(NAMES):
        little_picture(seed=seed).save(tmp_path / "in" / name)
    return tmp_path


class Meddling:
    """A restorer that does something else first when the second file comes."""

    def __init__(self, restorer, deed):
        self._restorer, self._deed = restorer, deed
        self.settings, self.check = restorer.settings, restorer.check
        self.result_size, self.provenance = restorer.result_size, restorer.provenance
        self._files = 0

    def restored(self, *arguments, **options):
        self._files += 1
        if self._files == 2:
            self._deed()
        return self._restorer.restored(*arguments, **options)


def run(restorer, folder):
    """The status of each file, and the one sentence about the second, of which nothing may be left."""
    jobs = plan_jobs([folder / "in"], folder / "out")
    outcomes = {outcome.job.source.name: outcome for outcome in restore_files(restorer, jobs, overwrite=False)}
    assert {name: outcome.status for name, outcome in outcomes.items()} == {
        name: "failed" if name == "b.png" else "restored" for name in outcomes
    }
    assert {path.name for path in (folder / "out").iterdir()} == set(outcomes) - {"b.png"} | {LEDGER_NAME}
    sentence = outcomes["b.png"].error
    assert "b.png" in sentence
    assert "\n" not in sentence
    return sentence


def and_then_all_is_well(restorer, folder):
    jobs = plan_jobs([folder / "in"], folder / "out")
    statuses = [outcome.status for outcome in restore_files(restorer, jobs, overwrite=False)]
    assert statuses == ["done already", "done already", "restored"]
    for name in NAMES:
        assert read_picture(folder / "out" / name).width == 13


def test_disk_is_full(restorer, folder):
    """A limit on the size of files stands for it: the system refuses the writing in the same place."""
    little_picture(60, 60).save(folder / "in" / "b.png", overwrite=True)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, before[1]))
    try:
        sentence = run(restorer, folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "cannot write" in sentence
    assert os.strerror(errno.EFBIG) in sentence
    little_picture().save(folder / "in" / "b.png", overwrite=True)
    and_then_all_is_well(restorer, folder)


def test_disk_is_full_when_the_ledger_is_written(restorer, folder, monkeypatch):
    written, calls = os.write, []

    def short(number, data):
        calls.append(data)
        return written(number, data[:20] if len(calls) == 2 else data)

    monkeypatch.setattr(os, "write", short)
    sentence = run(restorer, folder)
    assert "cannot keep" in sentence
    assert os.strerror(errno.ENOSPC) in sentence
    and_then_all_is_well(restorer, folder)


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EIO, errno.ESTALE])
def test_folder_that_can_no_longer_be_written_to(restorer, folder, monkeypatch, number):
    """Tests may run as root, whom no permission keeps out: the refusal is a pretended one."""
    opened, parts = os.open, []

    def refuse(path, flags, *arguments, **options):
        if str(path).endswith(".part"):
            parts.append(path)
            if len(parts) == 2:
                raise OSError(number, os.strerror(number))
        return opened(path, flags, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse)
    assert os.strerror(number) in run(restorer, folder)
    and_then_all_is_well(restorer, folder)


def test_folder_of_results_is_a_file(restorer, folder):
    (folder / "out").write_bytes(b"mine")
    jobs = plan_jobs([folder / "in" / "a.png"], folder / "out" / "a.png")
    jobs += [job for name in NAMES for job in plan_jobs([folder / "in" / name], folder / "out" / "x" / name)]
    for outcome in restore_files(restorer, jobs, overwrite=True):
        assert "cannot write" in outcome.error
    below = [batch.Job(source=job.source, target=job.target, root=folder / "out" / "x") for job in jobs[1:]]
    for outcome in restore_files(restorer, below, overwrite=True):
        assert "cannot write" in outcome.error
    assert (folder / "out").read_bytes() == b"mine"


def test_file_vanishes_while_others_are_restored(restorer, folder):
    jobs = plan_jobs([folder / "in"], folder / "out")
    outcomes = restore_files(restorer, jobs, overwrite=False)
    assert next(outcomes).status == "restored"
    (folder / "in" / "b.png").unlink()
    gone, last = outcomes
    assert gone.error == f"{folder / 'in' / 'b.png'}: there is no such file"
    assert last.status == "restored"


def test_file_that_vanishes_when_it_is_read_has_been_restored(restorer, folder):
    """What can be saved is saved."""
    jobs = plan_jobs([folder / "in"], folder / "out")
    meddling = Meddling(restorer, (folder / "in" / "b.png").unlink)
    assert {outcome.status for outcome in restore_files(meddling, jobs, overwrite=False)} == {"restored"}


def test_file_changes_while_it_is_restored(restorer, folder):
    def change():
        little_picture(seed=7).save(folder / "in" / "b.png", overwrite=True)

    assert "changed while it was being restored" in run(Meddling(restorer, change), folder)
    and_then_all_is_well(restorer, folder)


def test_file_that_changes_before_its_turn_is_restored_as_it_is_then(restorer, folder):
    outcomes = restore_files(restorer, plan_jobs([folder / "in"], folder / "out"), overwrite=False)
    next(outcomes)
    little_picture(20, 30, seed=7).save(folder / "in" / "b.png", overwrite=True)
    assert [outcome.status for outcome in outcomes] == ["restored", "restored"]
    assert read_picture(folder / "out" / "b.png").width == 30
    again = restore_files(restorer, plan_jobs([folder / "in"], folder / "out"), overwrite=False)
    assert {outcome.status for outcome in again} == {"done already"}


def test_target_that_somebody_else_makes_meanwhile_is_kept(restorer, folder):
    outcomes = restore_files(restorer, plan_jobs([folder / "in"], folder / "out"), overwrite=False)
    next(outcomes)
    (folder / "out" / "b.png").write_bytes(b"mine")
    assert "exists" in next(outcomes).error
    assert next(outcomes).status == "restored"
    assert (folder / "out" / "b.png").read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "try a smaller --memory"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:117] can't allocate memory\nframe #0: …"), "can't allocate"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
        (PellucidError("no"), "no"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_the_work_raises(restorer, folder, error, words):
    def fail():
        raise error

    assert words in run(Meddling(restorer, fail), folder)
    and_then_all_is_well(restorer, folder)


def test_long_and_foreign_names_and_loops(restorer, tmp_path):
    names = ["n" * 251 + ".png", "写真 été 📷.png", " .png", "-o.png", "[1]*?.png", "new\nline.png"]
    (tmp_path / "in").mkdir()
    for name in names:
        little_picture().save(tmp_path / "in" / name)
    loop = tmp_path / "loop.png"
    loop.symlink_to("loop.png")
    outcomes = list(restore_files(restorer, plan_jobs([tmp_path / "in", loop], tmp_path / "out"), overwrite=False))
    assert {outcome.job.source.name for outcome in outcomes if outcome.error} == {"loop.png"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*names, LEDGER_NAME}
    (beside,) = restore_files(restorer, plan_jobs([tmp_path / "in" / names[0]], None), overwrite=False)
    assert os.strerror(errno.ENAMETOOLONG) in beside.error


def test_the_next_source_is_hashed_while_one_is_restored(restorer, folder, monkeypatch):
    hashed = {name: threading.Event() for name in NAMES}
    read_source = batch._read_source

    def seen(job):
        found = read_source(job)
        hashed[job.source.name].set()
        return found

    def wait():
        assert hashed["c.png"].wait(10)

    monkeypatch.setattr(batch, "_read_source", seen)
    jobs = plan_jobs([folder / "in"], folder / "out")
    outcomes = restore_files(Meddling(restorer, wait), jobs, overwrite=False)
    assert next(outcomes).error is None
    assert not hashed["c.png"].is_set(), "no further ahead than one"
    assert [outcome.error for outcome in outcomes] == [None, None]


@pytest.mark.parametrize("left", [".pellucid-0123456789abcdef.part", "b.png"])
def test_what_killed_runs_leave_is_cleared_away(restorer, folder, left):
    """Also where nothing is left to do; and an empty result without a line of the ledger is nobody's but the user's."""
    jobs = plan_jobs([folder / "in"], folder / "out")
    list(restore_files(restorer, jobs, overwrite=False))
    (folder / "out" / left).write_bytes(b"")
    outcomes = list(restore_files(restorer, jobs, overwrite=False))
    expected = {"done already"} if left.endswith(".part") else {"done already", "restored"}
    assert {outcome.status for outcome in outcomes} == expected
    assert {path.name for path in (folder / "out").iterdir()} == {*NAMES, LEDGER_NAME}
