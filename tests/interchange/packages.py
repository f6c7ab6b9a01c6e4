"""AccelForge and hwcomponents, which need Python 3.12: `make test-interchange` installs them and runs these tests."""

from __future__ import annotations

from typing import Any

import pytest


def package(name: str) -> Any:
    """A package, or a skip that says how to get it."""
    return pytest.importorskip(name, reason=f"{name} is not installed: make test-interchange", exc_type=ImportError)
