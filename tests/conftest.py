"""Fixtures that every test folder shares."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest
from hypothesis import settings

from fewflips.files.cache import cache_folder
from tests.property_settings import FRESH_TIMES, USUAL_EXAMPLES

# no deadline: the first example compiles kernels
settings.register_profile("fixed", deadline=None, derandomize=True, database=None, max_examples=USUAL_EXAMPLES)
settings.register_profile(
    "fresh", deadline=None, derandomize=False, print_blob=True, max_examples=FRESH_TIMES * USUAL_EXAMPLES
)
settings.load_profile("fixed")


def pytest_configure() -> None:
    """Let Ctrl-C interrupt, and keep compiled kernels, here and in child processes.

    Shells without job control start background commands with that signal ignored, and children inherit it. Tests that
    choose a FEWFLIPS_CACHE of their own still find the kernels that others compiled.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.setdefault("NUMBA_CACHE_DIR", str(cache_folder()))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real models and images.

    FEWFLIPS_SHARED names it; by default it lies beside the repository. Without it, tests that need it are
    skipped, except in continuous integration (CI=true), where its absence is a failure.
    """
    folder = Path(os.environ.get("FEWFLIPS_SHARED") or Path(__file__).parents[2] / "shared")
    if not (folder / "models").is_dir():
        reason = f"no models in {folder}: set FEWFLIPS_SHARED to the folder that holds models/ and images/"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


@pytest.fixture(scope="session")
def iverilog() -> str:
    """Path of Icarus Verilog's compiler; tests skip without it, and fail where CI=true."""
    return _tool("iverilog")


@pytest.fixture(scope="session")
def opensta() -> str:
    """Path of OpenSTA; tests skip without it, and fail where CI=true."""
    return _tool("sta")


def _tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        reason = f"{name} was not found: run `make setup-test` as root, or install it"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return path
