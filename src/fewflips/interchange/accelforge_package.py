"""AccelForge as an optional package, and its errors as ours."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

from fewflips.errors import AcceleratorError, ToolError


def accelforge() -> Any:
    """The package ``accelforge``.

    Raises
    ------
    ToolError
        If it is not installed.
    """
    try:
        with warnings.catch_warnings(), _quiet():
            warnings.simplefilter("ignore")
            import accelforge as package
    except ImportError as error:
        raise ToolError(
            f"AccelForge cannot be imported ({error}): pip install 'fewflips[accelforge]', with Python 3.12 or later"
        ) from error
    return package


@contextmanager
def accelforge_errors(source: object) -> Iterator[None]:
    """Turn whatever AccelForge raises about a file into one line; it has no single class of errors.

    Parameters
    ----------
    source : object
        The file, as it should be named.

    Raises
    ------
    AcceleratorError
        With the first lines of AccelForge's message.
    """
    try:
        with warnings.catch_warnings(), _quiet():
            warnings.simplefilter("ignore")
            yield
    except AcceleratorError:
        raise
    except Exception as error:
        raise AcceleratorError(f"{source}: AccelForge refuses it: {type(error).__name__}: {error}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the package prints off stdout, which belongs to results."""
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        yield
