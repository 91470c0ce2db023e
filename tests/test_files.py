"""Files appear whole or not at all."""

import errno
import os
import stat

import pytest

from pellucid.errors import PellucidError
from pellucid.files import atomic_path


def write(path, data=b"new", *, overwrite=False):
    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(data)


def no_links(*_):
    raise OSError(errno.EPERM, "no links here")


@pytest.mark.parametrize("links", [True, False])
def test_whole_file_appears(tmp_path, monkeypatch, links):
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    write(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_longest_and_foreign_names(tmp_path):
    for name in ("n" * 255, "été 写真 .png"):
        write(tmp_path / name)
        assert (tmp_path / name).read_bytes() == b"new"
    with pytest.raises(PellucidError, match="cannot write"):
        write(tmp_path / ("n" * 256))
    with pytest.raises(PellucidError, match="cannot write"):
        write(tmp_path / "nul\0")


@pytest.mark.parametrize("error", [ValueError("broken"), KeyboardInterrupt()])
def test_nothing_appears_on_failure(tmp_path, error):
    (tmp_path / "a").write_bytes(b"old")

    def fail():
        with atomic_path(tmp_path / "a", overwrite=True) as temporary:
            temporary.write_bytes(b"half")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert (tmp_path / "a").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_existing_file_needs_overwrite(tmp_path):
    write(tmp_path / "a", b"old")
    with pytest.raises(PellucidError, match=r"a exists; pass --overwrite to replace it"):
        write(tmp_path / "a")
    write(tmp_path / "a", overwrite=True)
    assert (tmp_path / "a").read_bytes() == b"new"


@pytest.mark.parametrize("links", [True, False])
def test_file_that_appears_meanwhile_is_kept(tmp_path, monkeypatch, links):
    if not links:
        monkeypatch.setattr(os, "link", no_links)

    def race():
        with atomic_path(tmp_path / "a", overwrite=False) as temporary:
            temporary.write_bytes(b"new")
            (tmp_path / "a").write_bytes(b"theirs")

    with pytest.raises(PellucidError, match="exists"):
        race()
    assert (tmp_path / "a").read_bytes() == b"theirs"
    assert len(list(tmp_path.iterdir())) == 1


def test_claim_is_withdrawn_when_the_move_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", no_links)
    monkeypatch.setattr(os, "replace", lambda *_: no_links())
    with pytest.raises(PellucidError, match="no links here"):
        write(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_impossible_places(tmp_path):
    with pytest.raises(PellucidError, match=r"the directory .*nowhere does not exist"):
        write(tmp_path / "nowhere" / "a")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(PellucidError, match="Not a directory"):
        write(tmp_path / "file" / "a")
    (tmp_path / "folder").mkdir()
    with pytest.raises(PellucidError, match="directory"):
        write(tmp_path / "folder", overwrite=True)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_refusals_of_the_system_are_one_sentence(tmp_path, monkeypatch, number):
    def refuse(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(PellucidError, match=rf"^cannot write .*a: {os.strerror(number)}$"):
        write(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_unwritable_directory(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(PellucidError, match="Permission denied"):
        write(tmp_path / "a")


def test_permissions_are_those_of_a_plain_open(tmp_path):
    mask = os.umask(0o027)
    try:
        write(tmp_path / "a")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640
    (tmp_path / "a").chmod(0o604)
    write(tmp_path / "a", overwrite=True)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o604


def test_symbolic_link_is_written_through(tmp_path):
    write(tmp_path / "a", b"old")
    (tmp_path / "link").symlink_to("a")
    with pytest.raises(PellucidError, match="exists"):
        write(tmp_path / "link")
    write(tmp_path / "link", overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "a").read_bytes() == b"new"
