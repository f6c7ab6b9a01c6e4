"""The commands need nothing that exists on Linux alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fewflips.bundled import bundled_model
from tests.patience import PATIENCE_S

WITHOUT_LINUX = """
import builtins, io, os, sys

for name in (
    "sched_getaffinity", "sched_setaffinity", "sched_getscheduler", "memfd_create", "pidfd_open", "eventfd", "splice",
    "copy_file_range", "getrandom", "posix_fadvise", "posix_fallocate", "getxattr", "setxattr", "listxattr",
    "O_TMPFILE", "O_PATH", "O_DIRECT", "O_DIRECTORY", "O_NOATIME", "O_NOFOLLOW",
):
    if hasattr(os, name):
        delattr(os, name)
sys.modules["resource"] = sys.modules["psutil"] = None  # the psutil of Linux reads /proc

def outside_proc(opened):
    def opener(file, *arguments, **options):
        if str(file).startswith("/proc"):
            raise FileNotFoundError(2, "No such file or directory", str(file))
        return opened(file, *arguments, **options)
    return opener

builtins.open = io.open = outside_proc(io.open)
os.open = outside_proc(os.open)
"""


@pytest.fixture
def run(tmp_path):
    """Run a command with those names gone from every Python process that it starts."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(WITHOUT_LINUX)
    paths = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}

    def call(*arguments: object) -> str:
        command = [sys.executable, *map(str, arguments)]
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=PATIENCE_S
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


def test_the_names_are_gone(run):
    check = "import os, sys; print(hasattr(os, 'sched_getaffinity'), sys.modules['resource'])"
    assert run("-c", check) == "False None\n"
    with pytest.raises(AssertionError, match="FileNotFoundError"):
        run("-c", "open('/proc/self/status')")
    with pytest.raises(AssertionError, match="ModuleNotFoundError"):
        run("-c", "import resource")


def test_commands_run_without_what_linux_alone_has(run, tmp_path):
    with bundled_model() as (model, samples):
        inputs = ("--inputs", samples)
        assert "flips" in run("-m", "fewflips", "measure", model, *inputs)
        run("-m", "fewflips", "optimize", model, *inputs, "--output", tmp_path / "out")
        made = next(path for path in Path(tmp_path / "out").iterdir() if path.suffix == ".onnx")
        assert "equal" in run("-m", "fewflips", "verify", model, made, *inputs)
        run("-m", "fewflips", "energy", model, *inputs, "--share", "0.001")
    run("-m", "fewflips", "demo", "--output", tmp_path / "demo")
    assert (tmp_path / "demo" / "report.html").is_file()
