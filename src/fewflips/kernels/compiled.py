"""Compiles kernels with Numba, cached on disk if possible."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

from fewflips.kernels.cache import KernelCache


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a function on its first call; it runs without Python's lock.

    The machine code is kept in the cache of kernels (:mod:`fewflips.kernels.cache`). If the cache can be neither read
    nor written, it is compiled again in each process.

    Parameters
    ----------
    function : callable
        A function that Numba can compile.

    Returns
    -------
    numba dispatcher
        The compiled function.
    """
    kernel = njit(nogil=True)(function)
    if hasattr(kernel, "_cache"):  # NUMBA_DISABLE_JIT leaves plain functions
        kernel._cache = KernelCache(function)
    return kernel
