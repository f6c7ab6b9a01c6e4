"""Everything in the package that is no code of the project is in LICENSES.md."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "fewflips"
TEXT = (ROOT / "LICENSES.md").read_text(encoding="utf-8")
LISTED = [name for row in TEXT.splitlines() if row.startswith("| ") for name in re.findall(r"`([\w*./]+)`", row)]
WRITTEN_HERE = {".py", ".j2", ".css", ".js", ".md", ".typed"}
DATA = sorted(
    path
    for path in PACKAGE.rglob("*")
    if path.is_file() and path.suffix not in WRITTEN_HERE and "__pycache__" not in path.parts
)


def place(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def test_there_are_such_files() -> None:
    assert {".json", ".xz", ".onnx", ".npz"} <= {path.suffix for path in DATA}


@pytest.mark.parametrize("path", [path for path in DATA if path.parent.name != "builtin"], ids=place)
def test_a_file_is_listed(path: Path) -> None:
    assert any(fnmatch(place(path), listed) for listed in LISTED), f"{place(path)}: expected in LICENSES.md"


@pytest.mark.parametrize("listed", [name for name in LISTED if "/" in name and not name.startswith("src")])
def test_what_is_listed_is_there(listed: str) -> None:
    assert any(PACKAGE.glob(listed)) or any(ROOT.glob(listed))


def test_the_list_ships_with_the_package() -> None:
    assert '"LICENSES.md"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
