from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fewflips.errors import ToolError
from fewflips.parallel.background import in_background
from tests.patience import PATIENCE_S


def process_number() -> int:
    return os.getpid()


def noted_in(file: Path) -> str:
    """A note of each process that comes here; the first one fails."""
    with file.open("a") as notes:
        notes.write(f"{os.getpid()}\n")
    if file.read_text().count("\n") == 1:
        raise ToolError("the other process has no such program")
    return "made"


def end_of(caller: int) -> int:
    if os.getpid() != caller:
        os._exit(7)
    return os.getpid()


@pytest.fixture(autouse=True)
def _two_cores(monkeypatch):
    monkeypatch.setattr("fewflips.parallel.processors.cpu_count", lambda: 2)


def test_it_is_another_process():
    with in_background(2, process_number) as result:
        assert result() != os.getpid()


@pytest.mark.parametrize("jobs", [1, -1])
def test_a_single_processor_does_it_when_it_is_asked(monkeypatch, jobs):
    if jobs < 1:
        monkeypatch.setattr("fewflips.parallel.processors.cpu_count", lambda: 1)
    with in_background(jobs, process_number) as result:
        assert result() == os.getpid()


def test_an_error_there_is_met_again_here(tmp_path):
    with in_background(2, noted_in, tmp_path / "notes") as result:
        assert result() == "made"
    there, here = map(int, (tmp_path / "notes").read_text().split())
    assert here == os.getpid() != there


def test_a_process_that_was_killed_is_replaced_by_this_one():
    with in_background(2, end_of, os.getpid()) as result:
        assert result() == os.getpid()


def test_no_process_outlives_the_context(tmp_path):
    start = time.monotonic()
    with in_background(2, time.sleep, 3 * PATIENCE_S):
        pass
    assert time.monotonic() - start < PATIENCE_S


def test_no_processes_in_this_container(monkeypatch):
    monkeypatch.setattr("loky.ProcessPoolExecutor.submit", lambda *_, **__: (_ for _ in ()).throw(OSError("none")))
    with in_background(2, process_number) as result:
        assert result() == os.getpid()


def test_a_script_needs_no_main_guard(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import fewflips.parallel.processors\n"
        "fewflips.parallel.processors.cpu_count = lambda: 2\n"
        "from fewflips.parallel.background import in_background\n"
        "with in_background(2, divmod, 17, 5) as result:\n"
        "    print(result())\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    assert (done.stdout, done.stderr) == ("(3, 2)\n", "")
