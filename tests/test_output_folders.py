"""Folders for results that cannot be: every writer says so in one line of its own, before any work where it can."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from scripts.fuzz.permissions import permissions_count

from fewflips.api.optimized import check_writable
from fewflips.errors import OutputError
from fewflips.files.atomic import make_folder
from fewflips.files.result_folder import save_together
from fewflips.report.calibration_files import check_folder
from fewflips.simulation.activity import make_activity_folder

WRITERS: dict[str, Callable[[Path], object]] = {
    "any": make_folder,
    "activity": make_activity_folder,
    "calibrate": check_folder,
    "optimize": lambda folder: check_writable(folder, folder.parent / "model.tflite"),
    "results": lambda folder: save_together(folder, "fewflips optimize", {"report.json": b"{}\n"}),
}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("x" * 300, "File name too long"),
        ("file/out", "Not a directory"),
        ("file", "File exists|Not a directory"),
        ("loop/out", "symbolic links|File exists"),
    ],
)
def test_names_and_places_that_cannot_be(tmp_path: Path, writer: str, name: str, reason: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OutputError, match=reason):
        WRITERS[writer](tmp_path / name)


@pytest.mark.parametrize("writer", WRITERS)
def test_a_null_character_in_a_name(tmp_path: Path, writer: str) -> None:
    # in the words of this Python's own error
    with pytest.raises(OutputError, match=r"cannot be made: (\w+: )?embedded null \w+( in path)?; choose another"):
        WRITERS[writer](tmp_path / "a\0b")


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """A folder that may not be entered."""
    folder = tmp_path / "closed"
    (folder / "out").mkdir(parents=True)
    folder.chmod(0)
    with permissions_count():
        if folder.exists() and any(True for _ in _names(folder)):
            pytest.skip("permissions do not bind this user")
        yield folder
    folder.chmod(0o700)


def _names(folder: Path) -> Iterator[Path]:
    try:
        yield from folder.iterdir()
    except PermissionError:
        return


@pytest.mark.parametrize("writer", WRITERS)
def test_a_folder_that_may_not_be_entered(closed: Path, writer: str) -> None:
    with pytest.raises(OutputError, match="Permission denied"):
        WRITERS[writer](closed / "out")
