"""What killed processes leave behind is removed; what others use is not."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fewflips.files.atomic import atomic_write
from fewflips.files.leftovers import owned_prefix, remove_leftovers, temporary_folder

DAY_S = 24 * 3600


@pytest.fixture
def gone() -> int:
    """Number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_folders_of_processes_that_are_gone_are_removed(tmp_path, gone, monkeypatch):
    left = tmp_path / f"fewflips-{gone}-abc"
    (left / "deeper").mkdir(parents=True)
    (left / "deeper" / "file").write_bytes(b"x")
    mine, parents = tmp_path / f"{owned_prefix('fewflips-')}abc", tmp_path / f"fewflips-{os.getppid()}-abc"
    others = [tmp_path / name for name in ("fewflips-notes", "fewflips--1-x", "fewflips-\u0663-x", "other-1-x")]
    for folder in (mine, parents, *others):
        folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with temporary_folder() as name:
        assert not left.exists()
        assert Path(name).parent == tmp_path
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in (mine, parents, *others)}


def test_old_ones_are_removed_whoever_has_their_number(tmp_path):
    left = tmp_path / f"fewflips-{os.getppid()}-abc"
    left.write_bytes(b"x")
    os.utime(left, (0, time.time() - 2 * DAY_S))
    remove_leftovers(tmp_path, "fewflips-")
    assert not left.exists()


def test_where_processes_cannot_be_asked_age_tells(tmp_path, gone, monkeypatch):
    old, young = (tmp_path / f"fewflips-{gone}-{name}" for name in ("old", "young"))
    for file in (old, young):
        file.write_bytes(b"x")
    os.utime(old, (0, time.time() - 2 * 3600))
    monkeypatch.setattr(os, "name", "nt")
    remove_leftovers(tmp_path, "fewflips-")
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == [young.name]


def test_a_link_is_removed_and_not_followed(tmp_path, gone):
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_bytes(b"x")
    (tmp_path / f"fewflips-{gone}-link").symlink_to(kept, target_is_directory=True)
    remove_leftovers(tmp_path, "fewflips-")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (kept / "file").read_bytes() == b"x"


def test_a_folder_that_is_not_there_has_no_leftovers(tmp_path):
    remove_leftovers(tmp_path / "none", "fewflips-")


def test_half_written_files_of_killed_processes_go_with_the_next_write(tmp_path, gone):
    (tmp_path / f".result.json.part-{gone}-abc").write_bytes(b"half")
    atomic_write(tmp_path / "result.json", b"whole")
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
