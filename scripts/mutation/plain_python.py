"""A pytest plugin: kernels run as plain Python, so that no mutant waits for a compiler or meets another's machine code.

Use it with NUMBA_DISABLE_JIT=1. Numba's intrinsic and overload have no Python body; these are given here.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

import numpy as np
from hypothesis import Phase, settings

from fewflips.errors import InputError

if os.environ.get("NUMBA_DISABLE_JIT") != "1":
    raise InputError("kernels are compiled: set NUMBA_DISABLE_JIT=1")


def popcount(value: Any) -> int:
    """Ones in an unsigned integer."""
    return int(value).bit_count()


def distance(source: Any, i: int, j: int) -> np.int64:
    """Distance of two nodes of a matrix or of packed rows, in flips."""
    if source.dtype == np.uint64:
        return np.int64(np.bitwise_count(source[i] ^ source[j]).sum())
    return np.int64(source[i, j])


for name in ("fewflips.streams.flips", "fewflips.ordering"):
    import_module(name)
for module in [module for name, module in sys.modules.items() if name.startswith("fewflips")]:
    for replacement in (popcount, distance):
        if hasattr(module, replacement.__name__):
            setattr(module, replacement.__name__, replacement)


def pytest_sessionstart() -> None:
    """Draw the same examples for every mutant and do not shrink them: only whether a test fails matters."""
    settings.register_profile(
        "mutation", deadline=None, derandomize=True, database=None, phases=(Phase.explicit, Phase.generate)
    )
    settings.load_profile("mutation")
