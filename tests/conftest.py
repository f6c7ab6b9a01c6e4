"""Fixtures that every test folder shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("fewflips", deadline=None)  # the first example compiles kernels
settings.load_profile("fewflips")


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
