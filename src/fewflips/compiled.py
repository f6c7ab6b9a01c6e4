"""Compiling kernels by Numba, cached on disk where that is possible."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a function when it is first called, without Python's lock.

    The machine code is kept beside the source or in the user's cache folder. Where neither can be written (a
    read-only container), it is compiled again in each process.

    Parameters
    ----------
    function : callable
        A function that Numba can compile.

    Returns
    -------
    numba dispatcher
        The compiled function.
    """
    try:
        return njit(cache=True, nogil=True)(function)
    except RuntimeError:  # Numba finds no place for its cache
        return njit(nogil=True)(function)
