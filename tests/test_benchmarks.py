"""Benchmarks and scripts can be run: they find what they import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROGRAMS = sorted(
    str(path.relative_to(ROOT)) for folder in ("benchmarks", "scripts") for path in (ROOT / folder).glob("*.py")
)
LOADING = "import runpy, sys; runpy.run_path(sys.argv[1], run_name='loaded')"


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_can_be_loaded(program: str) -> None:
    pytest.importorskip("torch", reason="needs the extra `train`")
    search = f"import sys; sys.path.insert(0, {str((ROOT / program).parent)!r}); "
    process = subprocess.run(
        [sys.executable, "-c", search + LOADING, program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout == ""
