"""Where results go, what is refused before work starts, and that one failure does not stop the others."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from little import little_network, little_picture, saved
from pellucid.errors import PellucidError, UsageError
from pellucid.images import Picture, read_picture
from pellucid.tasks import Job, RestoreOptions, Restorer, plan_jobs, restore_files
from pellucid.tasks.ledger import LEDGER_NAME
from pellucid.tasks.restore import ResultSize


@pytest.fixture
def photo(tmp_path):
    little_picture().save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture(scope="module")
def restorer(weights):
    return Restorer(RestoreOptions(weights=weights, device="cpu"))


class Idle:
    """A restorer that must not be asked to work."""

    def check(self, *_, **__):
        pass

    def result_size(self, header):
        return ResultSize(header.width, header.height, header.channels)

    def restored(self, *_, **__):
        raise AssertionError("this is work")


def targets(sources, output):
    return [job.target for job in plan_jobs(sources, output)]


def only(outcomes):
    (outcome,) = outcomes
    return outcome


def planned_and_tried(sources, output=None):
    """Plan and try; a failed outcome is raised, so that it does not matter when the failure is found."""
    for outcome in restore_files(Idle(), plan_jobs(sources, output), overwrite=True):
        if outcome.error is not None:
            raise PellucidError(outcome.error)


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_beside_the_original(tmp_path):
    sources = [tmp_path / "a.png", tmp_path / "b.c.jpg", tmp_path / "plain"]
    expected = [tmp_path / "a-restored.png", tmp_path / "b.c-restored.jpg", tmp_path / "plain-restored"]
    assert targets(sources, None) == expected


def test_into_a_folder(tmp_path):
    (tmp_path / "out").mkdir()
    sources = [tmp_path / "a.png", tmp_path / "sub" / "b.jpg"]
    assert targets(sources, tmp_path / "out") == [tmp_path / "out" / "a.png", tmp_path / "out" / "b.jpg"]


def test_to_a_file_of_that_name(photo, tmp_path):
    assert plan_jobs([photo], tmp_path / "x.tif") == [Job(source=photo, target=tmp_path / "x.tif")]
    assert targets([photo], tmp_path / "nowhere" / "x.tif") == [tmp_path / "nowhere" / "x.tif"]
    assert plan_jobs([], None) == []


def test_several_pictures_need_a_folder(tmp_path):
    with pytest.raises(UsageError, match="is not a folder"):
        plan_jobs([tmp_path / "a.png", tmp_path / "b.png"], tmp_path / "out.png")


def test_two_results_of_one_name_are_refused(tmp_path):
    (tmp_path / "out").mkdir()
    for sources, output in (
        ([tmp_path / "1" / "a.png", tmp_path / "2" / "a.png"], tmp_path / "out"),
        ([tmp_path / "a.png", tmp_path / "out" / ".." / "a.png"], None),
    ):
        with pytest.raises(UsageError, match="would both become"):
            plan_jobs(sources, output)


def test_an_original_is_never_a_target(photo, tmp_path):
    (tmp_path / "link.png").symlink_to(photo)
    (tmp_path / "folder").symlink_to(tmp_path)
    beside = tmp_path / "photo-restored.png"
    for sources, output in (
        ([photo], photo),
        ([photo], tmp_path / "link.png"),
        ([tmp_path / "link.png"], photo),
        ([photo], tmp_path),
        ([photo], tmp_path / "folder"),
        ([photo], tmp_path / "folder" / "photo.png"),
        ([photo, beside], None),
        ([beside, photo], None),
    ):
        with pytest.raises(PellucidError, match="never replaced"):
            plan_jobs(sources, output)


def test_a_loop_of_links_is_a_sentence(photo, tmp_path):
    loop = tmp_path / "loop.png"
    loop.symlink_to("loop.png")
    for source, output in ((loop, None), (photo, loop)):
        with pytest.raises(PellucidError, match=r"loop\.png"):
            planned_and_tried([source], output)


@pytest.mark.parametrize("name", [".", "/", ".."])
def test_a_folder_as_the_picture_is_a_sentence(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PellucidError, match="picture"):
        planned_and_tried([Path(name)])


def test_file_is_restored(photo, restorer, tmp_path):
    states = []
    before = photo.read_bytes()
    outcome = only(restore_files(restorer, plan_jobs([photo], None), overwrite=False, report=states.append))
    assert outcome.error is None
    assert (outcome.header.width, outcome.header.height, outcome.header.format) == (13, 9, "PNG")
    assert outcome.seconds > 0
    result = read_picture(tmp_path / "photo-restored.png")
    expected = restorer(read_picture(photo)).pixels
    np.testing.assert_array_equal(np.rint(result.pixels * 255), np.rint(expected * 255))
    assert photo.read_bytes() == before
    assert [state.megapixels_done for state in states] == sorted(state.megapixels_done for state in states)
    assert states[-1] == ("photo.png", 1, 1, 0, 13 * 9 / 1e6, 13 * 9 / 1e6)
    assert set(files(tmp_path)) == {"photo.png", "photo-restored.png"}


def test_outcome_as_json(photo, restorer, tmp_path):
    done = only(restore_files(restorer, plan_jobs([photo], None), overwrite=False))
    failed = only(restore_files(restorer, plan_jobs([tmp_path / "missing.png"], None), overwrite=False))
    done, failed = (json.loads(json.dumps(outcome.as_dict())) for outcome in (done, failed))
    assert done["source"] == str(photo)
    assert done["target"] == str(tmp_path / "photo-restored.png")
    assert done["picture"]["width"] == 13
    assert (done["status"], done["notes"], done["error"]) == ("restored", [], None)
    assert failed["status"] == "failed"
    assert (failed["target"], failed["picture"]) == (None, None)
    assert "missing.png" in failed["error"]
    assert set(done) == set(failed)


@pytest.mark.usefixtures("photo")
def test_one_failure_does_not_stop_the_others(restorer, tmp_path):
    """What cannot be read fails before any work."""
    (tmp_path / "bad.png").write_bytes(b"no picture")
    little_picture(5, 5).save(tmp_path / "z.png")
    names = ["photo.png", "bad.png", "gone.png", "z.png"]
    states = []
    jobs = plan_jobs([tmp_path / name for name in names], None)
    outcomes = list(restore_files(restorer, jobs, overwrite=False, report=states.append))
    assert [outcome.job.source.name for outcome in outcomes] == ["bad.png", "gone.png", "photo.png", "z.png"]
    assert [outcome.status for outcome in outcomes] == ["failed", "failed", "restored", "restored"]
    assert all(outcome.job.source.name in outcome.error for outcome in outcomes[:2])
    assert (states[-1].files_done, states[-1].files, states[-1].failed) == (4, 4, 2)
    assert states[-1].megapixels_done == states[-1].megapixels == pytest.approx((13 * 9 + 25) / 1e6)
    assert set(files(tmp_path)) == {*names, "photo-restored.png", "z-restored.png", LEDGER_NAME} - {"gone.png"}


def test_what_cannot_be_kept_is_noted(restorer, tmp_path):
    pixels = little_picture(bit_depth=16).pixels
    Picture(pixels=pixels, alpha=np.ones((9, 13), np.float32), bit_depth=16).save(tmp_path / "a.png")
    outcome = only(restore_files(restorer, plan_jobs([tmp_path / "a.png"], tmp_path / "a.jpg"), overwrite=False))
    assert outcome.error is None
    assert [note for note in outcome.notes if "transparency" in note]
    assert [note for note in outcome.notes if "8 bits" in note]


def refused(photo, target, overwrite=False):
    """The error of a job that is refused before any work, with nothing changed on disk."""
    before = files(photo.parent)
    outcome = only(restore_files(Idle(), [Job(source=photo, target=target)], overwrite=overwrite))
    assert files(photo.parent) == before
    assert outcome.error is not None
    assert "\n" not in outcome.error
    return outcome.error


def test_existing_result_is_kept_unless_asked(photo, restorer, tmp_path):
    (tmp_path / "out.png").write_bytes(b"mine")
    assert "pass --overwrite" in refused(photo, tmp_path / "out.png")
    jobs = plan_jobs([photo], tmp_path / "out.png")
    assert only(restore_files(restorer, jobs, overwrite=True)).error is None
    assert read_picture(tmp_path / "out.png").width == 13


def test_places_that_cannot_be_written(photo, tmp_path, monkeypatch):
    assert "does not exist" in refused(photo, tmp_path / "nowhere" / "out.png")
    (tmp_path / "file").write_bytes(b"")
    assert "file" in refused(photo, tmp_path / "file" / "out.png")
    (tmp_path / "folder.png").mkdir()
    assert "folder.png" in refused(photo, tmp_path / "folder.png", overwrite=False)
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "may not be written to" in refused(photo, tmp_path / "out.png")


@pytest.mark.parametrize("name", ["out.gif", "out", "out.png.exe"])
def test_unknown_formats_are_refused(photo, tmp_path, name):
    assert "cannot write" in refused(photo, tmp_path / name)


def test_link_to_nowhere_is_refused_before_work(photo, tmp_path):
    """The writing would refuse it, after all the work."""
    (tmp_path / "dangling.png").symlink_to("gone.png")
    assert "exists" in refused(photo, tmp_path / "dangling.png")


def test_folder_with_overwrite_is_refused_before_work(photo, tmp_path):
    (tmp_path / "folder.png").mkdir()
    assert "folder.png" in refused(photo, tmp_path / "folder.png", overwrite=True)


def test_name_too_long_is_a_sentence(photo, tmp_path):
    assert "cannot write" in refused(photo, tmp_path / ("n" * 252 + ".png"))


def test_hard_link_to_the_original_leaves_the_original(photo, restorer, tmp_path):
    before = photo.read_bytes()
    (tmp_path / "hard.png").hardlink_to(photo)
    list(restore_files(restorer, [Job(source=photo, target=tmp_path / "hard.png")], overwrite=True))
    assert photo.read_bytes() == before


def test_picture_beyond_the_budget_is_refused(photo, weights, tmp_path):
    small = Restorer(RestoreOptions(weights=weights, device="cpu", memory="1MiB"))
    outcome = only(restore_files(small, plan_jobs([photo], None), overwrite=False))
    assert "at least" in outcome.error
    assert set(files(tmp_path)) == {"photo.png"}


def test_a_network_that_gives_no_numbers_writes_nothing(photo, tmp_path, tmp_path_factory):
    network = little_network()
    network.refinement[0].feedforward.project.weight.data.mul_(3e38)
    network.output.weight.data.mul_(1e30)
    path = saved(network, tmp_path_factory.mktemp("weights") / "overflowing.safetensors")
    restorer = Restorer(RestoreOptions(weights=path, device="cpu"))
    outcome = only(restore_files(restorer, plan_jobs([photo], None), overwrite=False))
    assert "not numbers" in outcome.error
    assert set(files(tmp_path)) == {"photo.png"}


def test_stopped_batch_goes_on_where_it_was(restorer, tmp_path, monkeypatch):
    sources = [tmp_path / f"{i}.png" for i in range(3)]
    for i, source in enumerate(sources):
        little_picture(seed=i).save(source)
    list(restore_files(restorer, plan_jobs(sources, tmp_path / "whole"), overwrite=False))
    expected = files(tmp_path / "whole")
    del expected[LEDGER_NAME]
    for nth in range(1, 7):  # the disk is waited for twice for each file: for the result and for the ledger
        out = tmp_path / f"out{nth}"
        calls, fsync = [], os.fsync

        def interrupted(number, calls=calls, nth=nth, fsync=fsync):
            calls.append(number)
            if len(calls) == nth:
                raise KeyboardInterrupt
            fsync(number)

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", interrupted)
            with pytest.raises(KeyboardInterrupt):
                list(restore_files(restorer, plan_jobs(sources, out), overwrite=False))
        done = files(out)
        del done[LEDGER_NAME]
        assert done == {name: expected[name] for name in list(expected)[: (nth - 1) // 2]}
        outcomes = list(restore_files(restorer, plan_jobs(sources, out), overwrite=False))
        assert sorted(outcome.status for outcome in outcomes) == ["done already"] * len(done) + ["restored"] * (
            3 - len(done)
        )
        assert files(out).items() > expected.items()
