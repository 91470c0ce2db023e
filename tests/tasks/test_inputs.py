"""Which files a batch takes: folders and patterns, without junk and without what pellucid itself has made."""

import os
from pathlib import Path

import pytest

from little import little_picture
from pellucid.errors import PellucidError, UsageError
from pellucid.tasks import Skipped, plan_jobs
from pellucid.tasks.ledger import LEDGER_NAME


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A function that makes pictures, and whatever else has content, in the folder where commands are given."""
    monkeypatch.chdir(tmp_path)

    def make(*names, **others):
        for name in names:
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            little_picture(3, 4).save(name, overwrite=True)
        for name, content in others.items():
            Path(name).write_bytes(content)

    return make


def planned(*inputs, output=None, recursive=False):
    """Source and target of every job, and the reason for everything that is left alone."""
    skipped: list[Skipped] = []
    jobs = plan_jobs(
        [Path(path) for path in inputs], Path(output) if output else None, recursive=recursive, skip=skipped.append
    )
    return {str(job.source): str(job.target) for job in jobs}, {str(path): reason for path, reason in skipped}


def test_folder_goes_to_a_folder_beside_it_in_natural_order(tree, tmp_path):
    tree("scans/10.png", "scans/2.jpg", "scans/B.png", "scans/a.png", "scans/below/c.png")
    expected = {f"scans/{name}": f"scans-restored/{name}" for name in ("2.jpg", "10.png", "a.png", "B.png")}
    jobs, skipped = planned("scans")
    assert list(jobs.items()) == list(expected.items())
    assert skipped == {}
    assert all(job.root == Path("scans-restored") for job in plan_jobs([Path("scans")], None))
    for spelled in ("scans/", "./scans", tmp_path / "scans"):
        assert {os.path.abspath(target) for target in planned(spelled)[0].values()} == {
            str(tmp_path / target) for target in expected.values()
        }
    os.chdir("scans")
    assert {os.path.abspath(target) for target in planned(".")[0].values()} == {
        str(tmp_path / target) for target in expected.values()
    }


def test_recursion_mirrors_the_tree(tree):
    tree("in/1.png", "in/x/1.png", "in/x/y/2.png")
    jobs, _ = planned("in", recursive=True, output="out")
    assert jobs == {"in/1.png": "out/1.png", "in/x/1.png": "out/x/1.png", "in/x/y/2.png": "out/x/y/2.png"}
    assert planned("in", output="out")[0] == {"in/1.png": "out/1.png"}
    assert list(planned("in", recursive=True)[0].values())[2] == "in-restored/x/y/2.png"


def test_junk_is_left_alone_with_a_word(tree):
    tree("in/a.png", "in/.hidden.png", "in/.thumbs/b.png")
    Path("in/a.png").rename("in/disguised.JPG")
    names = {"in/Thumbs.db": b"\xd0\xcf", "in/.DS_Store": b"x", "in/notes.txt": b"words", "in/text.png": b"words"}
    ours = {f"in/{LEDGER_NAME}": b"", "in/.pellucid-0123456789abcdef.part": b""}
    tree(**names, **ours, **{"in/empty.jpg": b"", "in/raw.nef": b"II*\0", "in/bare": b"II*\0"})
    os.mkfifo("in/pipe.png")
    os.symlink("nowhere", "in/broken.png")
    jobs, skipped = planned("in", recursive=True)
    assert list(jobs) == ["in/disguised.JPG"]
    assert skipped["in/raw.nef"] == "pictures are not written as .nef"
    assert skipped["in/bare"] == "pictures are not written as files without suffix"
    assert {path for path, reason in skipped.items() if reason == "hidden"} == {
        "in/.hidden.png",
        "in/.thumbs",
        "in/.DS_Store",
    }
    assert {path for path, reason in skipped.items() if reason == "not a picture of a known format"} == {
        *("in/Thumbs.db", "in/notes.txt", "in/text.png", "in/empty.jpg", "in/pipe.png", "in/broken.png")
    }


def test_files_that_are_named_are_taken_as_they_are(tree):
    tree(**{"Thumbs.db": b"x"})
    tree(".hidden.png")
    assert set(planned("Thumbs.db", ".hidden.png", "gone.png")[0]) == {"Thumbs.db", ".hidden.png", "gone.png"}


def test_a_picture_that_cannot_be_opened_is_not_junk(tree, monkeypatch):
    tree("in/a.png", "in/b.png")
    opened = Path.open

    def closed(path, *arguments, **options):
        if path.name == "b.png":
            raise PermissionError(13, "Permission denied")
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", closed)
    jobs, skipped = planned("in")
    assert (set(jobs), skipped) == ({"in/a.png", "in/b.png"}, {})


def test_results_are_not_taken_again(tree):
    tree("in/a.png", "in/a-restored.png", "in/mine-restored.png", "in/out/a.png", "in/x/b.png", "in/x-restored/b.png")
    jobs, skipped = planned("in", output="in/out", recursive=True)
    assert list(jobs) == ["in/a.png", "in/mine-restored.png", "in/x/b.png"]
    assert skipped == dict.fromkeys(("in/x-restored", "in/a-restored.png"), "a result of an earlier run")
    assert "in/out/a.png" not in planned("in/**/*.png", output="in/out")[0]


def test_what_the_shell_finds_the_second_time(tree):
    """`pellucid restore *.png` names its own results when it is run again: the ledger knows them."""
    tree("a.png", "b.png", "a-restored.png")
    with pytest.raises(PellucidError, match="never replaced"):
        planned("a.png", "b.png", "a-restored.png")
    line = '{"target": "a-restored.png", "target_sha256": "", "source": "a.png", "source_sha256": "", "settings": {}'
    tree(**{LEDGER_NAME: f'{line}, "time": ""}}\n'.encode()})
    jobs, skipped = planned("a-restored.png", "a.png", "b.png")
    assert jobs == {"a.png": "a-restored.png", "b.png": "b-restored.png"}
    assert skipped == {"a-restored.png": "a result of an earlier run"}


def test_links_to_folders_are_not_followed(tree):
    tree("in/a.png", "in/x/b.png")
    os.symlink(".", "in/x/loop")
    os.symlink("..", "in/x/up")
    os.symlink("self", "in/self")
    os.symlink("a.png", "in/link.png")
    os.symlink("in", "link")
    jobs, skipped = planned("in", recursive=True)
    assert list(jobs) == ["in/a.png", "in/link.png", "in/x/b.png"]
    assert skipped["in/x/up"] == skipped["in/x/loop"] == "a link to a folder"
    assert list(planned("in/**/*.png")[0]) == ["in/a.png", "in/link.png", "in/x/b.png"]
    assert planned("link", recursive=True)[0]["link/x/b.png"] == "link-restored/x/b.png"


def test_patterns_that_the_shell_has_left(tree):
    tree("in/1.png", "in/10.png", "in/2.png", "in/c.jpg", "in/x/3.png", "in/x/y/4.png", "in/[1].png")
    assert planned("in/[0-9]*.png")[0] == {f"in/{i}.png": f"in/{i}-restored.png" for i in (1, 2, 10)}
    assert planned("in/*/?.png", output="out")[0] == {"in/x/3.png": "out/x/3.png"}
    assert list(planned("in/**/[0-9].png", output="out")[0].values()) == [
        *("out/1.png", "out/2.png", "out/x/3.png", "out/x/y/4.png")
    ]
    assert set(planned("**/y/*")[0]) == {"in/x/y/4.png"}
    assert len(planned("in/**")[0]) == 7
    assert set(planned("in/[1].png")[0]) == {"in/[1].png"}, "a name is a name first"
    assert planned("in/c.*", output="d.jpg")[0] == {"in/c.jpg": "d.jpg"}
    tree(**{"in/notes.txt": b"words"})
    assert planned("in/*.txt", "in/1.png")[1] == {"in/notes.txt": "not a picture of a known format"}
    assert set(planned("nothing*.png")[0]) == {"nothing*.png"}, "fails as a file that is not there"


def test_nothing_to_do_is_a_sentence(tmp_path):
    with pytest.raises(PellucidError, match="there is no picture to restore in "):
        planned(tmp_path)


def test_a_folder_that_may_not_be_looked_into(tree, monkeypatch):
    tree("in/a.png", "in/locked/b.png")
    listed = os.listdir

    def closed(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(os, "listdir", closed)
    jobs, skipped = planned("in", recursive=True)
    assert list(jobs) == ["in/a.png"]
    assert skipped == {"in/locked": "it cannot be looked into (Permission denied)"}
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(PellucidError, match="the folder in may not be looked into"):
        planned("in")


def test_several_pictures_make_their_folder(tree):
    tree("1/a.png", "1/b.png", "2/a.png", "out.png/c.png")
    assert planned("1/a.png", "1/b.png", output="new")[0] == {"1/a.png": "new/a.png", "1/b.png": "new/b.png"}
    assert planned("1", output="out.png")[0]["1/a.png"] == "out.png/a.png", "a folder that is there"
    for output in ("new.png", "1/a.png"):
        with pytest.raises(UsageError, match="is not a folder"):
            planned("1", output=output)
    with pytest.raises(UsageError, match="would both become"):
        planned("1", "2", output="new")
    with pytest.raises(PellucidError, match="never replaced"):
        planned("1", output="1")
    assert not Path("new").exists()


def test_no_folder_beside_the_root_of_everything(tree, monkeypatch):
    tree("a.png")
    monkeypatch.setattr(os, "listdir", lambda _: [str(Path("a.png").absolute())[1:]])
    with pytest.raises(UsageError, match="name one with -o"):
        planned("/")
