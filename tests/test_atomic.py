"""Files are written completely or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fewflips.errors import OutputError
from fewflips.files import atomic
from fewflips.files.atomic import atomic_write


def test_writes_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "result"
    atomic_write(path, b"first")
    path.chmod(0o640)
    atomic_write(path, b"second")
    assert path.read_bytes() == b"second"
    assert path.stat().st_mode & 0o777 == 0o640
    assert [entry.name for entry in tmp_path.iterdir()] == ["result"]


def test_new_files_have_the_usual_permissions(tmp_path: Path) -> None:
    atomic_write(tmp_path / "ours", b"")
    (tmp_path / "usual").touch()
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "result"
    atomic_write(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(OutputError) as caught:
        atomic_write(path, b"new")
    assert str(caught.value) == (
        f"cannot write {path}: No space left on device; "
        "give a path in an existing folder that can be written and has room"
    )
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["result"]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions do not bind the administrator")
def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="Permission denied"):
        atomic_write(tmp_path / "result", b"")


def test_paths_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No such file or directory"):
        atomic_write(tmp_path / "missing" / "result", b"")
    with pytest.raises(OutputError, match="expected a file name, got a folder; add a file name to it"):
        atomic_write(tmp_path, b"")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="Not a directory"):
        atomic_write(tmp_path / "file" / "result", b"")


@pytest.mark.parametrize("name", ["n" * 5000, "a\0b"])
def test_names_that_no_file_can_have(tmp_path, name):
    with pytest.raises(OutputError, match=r"cannot write .*give a path in an existing folder"):
        atomic_write(tmp_path / name, b"")
