"""A folder of results is wholly old, wholly new, or refused, wherever its writer is killed."""

from __future__ import annotations

import errno
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from fewflips.errors import InputError, OutputError
from fewflips.files.result_folder import MANIFEST, check_belongs, read_manifest, save_together
from tests.patience import PATIENCE_S

OLD = {"model.onnx": b"old model", "report.json": b"old report", "schedule.json": b"old schedule"}
NEW = {"report.json": b"new report", "schedule.json": b"new schedule", "table.md": b"new table"}
STEPS = 1 + len(NEW) + 2
"""Moves: the manifest, each file, the old model away, and the manifest without it."""

KILLED = """
import os, signal, sys
from pathlib import Path
from fewflips.files.result_folder import save_together

left = int(sys.argv[2])

def counted(function):
    def call(*paths, **options):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        function(*paths, **options)
    return call

os.replace, os.unlink = counted(os.replace), counted(os.unlink)
save_together(Path(sys.argv[1]), "fewflips optimize", {contents})
"""


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name != MANIFEST}


def save(folder: Path, files: dict[str, bytes]) -> None:
    save_together(folder, "fewflips optimize", files)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL here")
@pytest.mark.parametrize("moves", [*range(STEPS + 2), 1000])
def test_a_killed_writer_leaves_the_old_the_new_or_what_is_refused(tmp_path, moves):
    save(tmp_path, OLD)
    (tmp_path / "notes.txt").write_bytes(b"mine")
    script = KILLED.replace("{contents}", repr(NEW))
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path), str(moves)], check=False, timeout=PATIENCE_S)
    assert done.returncode == (0 if moves == 1000 else -signal.SIGKILL)
    found = contents(tmp_path)
    mine = {"notes.txt": b"mine"}
    if moves == 0:
        assert found == OLD | mine
    elif moves >= STEPS - 1:
        assert found == NEW | mine
    else:
        with pytest.raises(InputError, match=r"model\.onnx: is of earlier results than the files beside it"):
            check_belongs(tmp_path / "model.onnx")
    for name in NEW.keys() & found.keys():
        if moves in (1, 2):  # the manifest, and the first of two files that there were before
            with pytest.raises(InputError, match="was cut off, or the file was replaced; run it again"):
                check_belongs(tmp_path / name)
        else:
            check_belongs(tmp_path / name)
            assert found[name] == (OLD if moves == 0 else NEW)[name]
    save(tmp_path, NEW)
    assert contents(tmp_path) == NEW | mine
    assert {path.name for path in tmp_path.iterdir()} == {*NEW, MANIFEST, "notes.txt"}
    for name in NEW:
        check_belongs(tmp_path / name)


@pytest.mark.parametrize("call", range(7))
def test_a_full_disk_leaves_the_folder_as_it_was(tmp_path, monkeypatch, call):
    save(tmp_path, OLD)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    fsync, done = os.fsync, []

    def full(descriptor):
        done.append(descriptor)
        if len(done) > call:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    if call < len(NEW) + 2:  # the manifest is staged twice
        with pytest.raises(OutputError, match="No space left on device; choose another --output") as caught:
            save(tmp_path, NEW)
        assert "\n" not in str(caught.value)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    else:  # where a folder cannot be synchronized its files are complete all the same
        save(tmp_path, NEW)
        assert contents(tmp_path) == NEW


def test_names_are_on_the_disk_before_the_next_step(tmp_path, monkeypatch):
    """Staged names before the first move, moved ones before the command says that it is done."""
    folder, steps = tmp_path / "out", []
    fsync, replace = os.fsync, os.replace
    kinds = {True: "folder", False: "file"}

    def noted_sync(descriptor):
        found = os.fstat(descriptor)
        places = {"out": folder, "staging": next(iter(folder.glob(".fewflips-*")), folder)}
        names = [name for name, place in places.items() if os.path.samestat(found, place.stat())]
        steps.append(f"sync {names[0]}" if names else f"sync {kinds[stat.S_ISDIR(found.st_mode)]}")
        fsync(descriptor)

    def noted_move(source, target):
        steps.append("move")
        replace(source, target)

    folder.mkdir()
    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(os, "replace", noted_move)
    save_together(folder, "fewflips test", {"a": b"1", "b": b"2"})
    first, last = steps.index("move"), len(steps) - 1 - steps[::-1].index("move")
    assert steps[:first] == ["sync file"] * 4 + ["sync staging"]
    assert set(steps[first : last + 1]) == {"move"}
    assert steps[last + 1 :] == ["sync out"]


def test_a_file_that_cannot_be_removed_is_no_reason_to_lose_it(tmp_path, monkeypatch):
    save(tmp_path, OLD)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    unlink = os.unlink

    def failing(path, **options):
        if Path(path) == tmp_path / "model.onnx":
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        unlink(path, **options)

    monkeypatch.setattr(os, "unlink", failing)
    with pytest.raises(OutputError, match="Operation not permitted"):
        save(tmp_path, NEW)
    monkeypatch.undo()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("move", range(STEPS - 1))
def test_a_move_that_fails_is_undone(tmp_path, monkeypatch, move):
    save(tmp_path, OLD)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    replace, done = os.replace, []

    def failing(source, target):
        done.append(source)
        if len(done) == move + 1:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        replace(source, target)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(OutputError, match="Input/output error"):
        save(tmp_path, NEW)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_what_is_written_is_read_back(tmp_path, monkeypatch):
    wrong = b"what a failing disk gives back"
    opened = Path.open

    def open_wrong(self, mode="r", *rest, **options):
        stream = opened(self, mode, *rest, **options)
        if mode == "xb" and self.name == "model.onnx":
            stream.write(wrong)
        return stream

    monkeypatch.setattr(Path, "open", open_wrong)
    with pytest.raises(OutputError, match=r"model\.onnx: what was written is not what is read back"):
        save(tmp_path / "out", OLD)
    assert list((tmp_path / "out").iterdir()) == []


def test_results_of_other_commands_stay(tmp_path):
    save(tmp_path, OLD)
    save_together(tmp_path, "fewflips calibrate", {"calibration.json": b"{}"})
    save(tmp_path, NEW)
    assert contents(tmp_path) == NEW | {"calibration.json": b"{}"}
    manifest = read_manifest(tmp_path)
    assert manifest is not None
    assert {command: set(files) for command, files in manifest.results.items()} == {
        "fewflips optimize": set(NEW),
        "fewflips calibrate": {"calibration.json"},
    }


def test_files_may_be_taken_elsewhere(tmp_path):
    save(tmp_path / "out", OLD)
    (tmp_path / "out" / "report.json").unlink()
    check_belongs(tmp_path / "out" / "model.onnx")
    other = tmp_path / "model.onnx"
    (tmp_path / "out" / "model.onnx").rename(other)
    check_belongs(other)
    (tmp_path / "out" / "unknown.onnx").write_bytes(b"not of any run")
    check_belongs(tmp_path / "out" / "unknown.onnx")


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"results": {"a": {"../escape": {"bytes": 0, "sha256": "' + 64 * "0" + '"}}}}', "9" * (1 << 20)],
)
def test_a_damaged_manifest_is_one_line(tmp_path, text):
    save(tmp_path, OLD)
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(InputError, match=MANIFEST) as caught:
        check_belongs(tmp_path / "model.onnx")
    assert "\n" not in str(caught.value)
    save(tmp_path, OLD)
    check_belongs(tmp_path / "model.onnx")
    assert json.loads((tmp_path / MANIFEST).read_text())["format"] == "fewflips-manifest"


def test_a_file_belongs_to_the_command_that_wrote_it_last(tmp_path):
    """It was refused ever after, for the digest of the other command."""
    save_together(tmp_path, "fewflips calibrate", OLD)
    save(tmp_path, NEW)
    for name in (*NEW, "model.onnx"):
        check_belongs(tmp_path / name)
    manifest = read_manifest(tmp_path)
    assert set(manifest.results["fewflips calibrate"]) == {"model.onnx"}
    assert set(manifest.results["fewflips optimize"]) == set(NEW)


@pytest.mark.parametrize("name", ["notes", ".", ".."])
@pytest.mark.parametrize("where", ["results", "outdated"])
def test_a_manifest_that_names_a_folder(tmp_path, name, where):
    """Nothing could be written there any more; and no folder is a result, so that it stays."""
    output = tmp_path / "output"
    save(output, OLD)
    (output / "notes").mkdir()
    (output / "notes" / "kept.txt").write_text("mine")
    content = json.loads((output / MANIFEST).read_bytes())
    if where == "results":
        content["results"]["fewflips optimize"][name] = {"bytes": 1, "sha256": "0" * 64}
    else:
        content["outdated"] = [name]
    (output / MANIFEST).write_text(json.dumps(content))
    save(output, NEW)
    assert contents(output) == NEW
    assert (output / "notes" / "kept.txt").read_text() == "mine"
    assert read_manifest(output).outdated == ()
