"""A cache on disk for the machine code of kernels, shared between runs and processes.

Numba's own cache trusts what it finds: a truncated file raises whatever its unpickling raises, one with a flipped bit
can crash the process, and a full disk ends the run. This one keeps each compiled signature as an entry of
:mod:`fewflips.files.cache`: with a checksum, written atomically, and compiled again if it is missing or damaged.

Kernels inline the functions they call, even from other modules, so an entry is named by the digest of all their
sources.
"""

from __future__ import annotations

import inspect
import pickle
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import llvmlite
import numba
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

from fewflips.files.cache import cache_folder, digest_of, read_entry, write_entry

_VERSION = "1"


def kernel_folder() -> Path:
    """The folder of kernels: ``$NUMBA_CACHE_DIR`` if set, else next to fewflips' other entries."""
    given = numba.config.CACHE_DIR
    return (Path(given) if given else cache_folder()) / "kernels"


class KernelCache:
    """The cache of one function, for Numba's dispatchers, which look here before they compile.

    Parameters
    ----------
    function : callable
        The function, as written.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._enabled = True
        _source(function.__module__)  # its current source, not one edited while this process runs

    @property
    def cache_path(self) -> str:
        """The folder."""
        return str(kernel_folder())

    def enable(self) -> None:
        """Read and write entries."""
        self._enabled = True

    def disable(self) -> None:
        """Neither read nor write entries."""
        self._enabled = False

    def flush(self) -> None:
        """Do nothing: an entry never becomes outdated, since its name identifies its sources."""

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """The compiled function for arguments of certain types.

        Parameters
        ----------
        signature : tuple of numba types
            The types.
        target_context : numba.core.base.BaseContext
            Receives the machine code.

        Returns
        -------
        numba.core.compiler.CompileResult or None
            None if there is no valid entry.
        """
        target_context.refresh()
        path = self._entry(signature, target_context.codegen())
        content = read_entry(path) if path is not None else None
        return None if content is None else CompileResult._rebuild(target_context, *pickle.loads(content))

    def save_overload(self, signature: Any, result: Any) -> None:
        """Store a compiled function.

        Parameters
        ----------
        signature : tuple of numba types
            Types of its arguments.
        result : numba.core.compiler.CompileResult
            Numba's result. Code that contains addresses of this process is not stored.
        """
        if result.library.has_dynamic_globals or any(not loop.can_cache for loop in result.lifted):
            return
        path = self._entry(signature, result.codegen)
        if path is not None:
            write_entry(path, dumps(result._reduce()))

    def _entry(self, signature: Any, codegen: Any) -> Path | None:
        """The file for these types on this processor; None for interactively entered code, for example."""
        code = self._function.__code__
        sources = _sources(self._function.__module__)
        if not self._enabled or sources is None or self._function.__closure__:
            return None
        made_by = (_VERSION, numba.__version__, llvmlite.__version__, sys.version, repr(codegen.magic_tuple()))
        name = (self._function.__module__, self._function.__qualname__, str(code.co_firstlineno))
        return kernel_folder() / digest_of(*made_by, *name, str(signature), sources)


def _sources(name: str) -> str | None:
    """Digest of the sources of a module of kernels, and of everything its kernels may have inlined."""
    found: dict[str, str | None] = {}
    waiting, constants = [name], [name]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = _source(name)
            module = sys.modules.get(name)
            if module is not None and _has_kernels(module):
                waiting += _used_by(module)
                constants += [name, repr(sorted(_constants(module)))]
    if None in found.values():
        return None
    return digest_of(*constants, *(part for name in sorted(found) for part in (name, found[name] or "")))


def _used_by(module: ModuleType) -> Iterator[str]:
    """Modules of the same package from which a module's functions and classes come."""
    package = module.__name__.partition(".")[0] + "."
    for value in vars(module).values():
        origin = _module_of(value)
        if origin.startswith(package):
            yield origin


def _constants(module: ModuleType) -> Iterator[tuple[str, object]]:
    """Numbers and strings of a module, its own and imported ones, which are compiled into kernels."""
    for name, value in vars(module).items():
        if isinstance(value, int | float | str) and not name.startswith("__"):
            yield name, value


def _has_kernels(module: ModuleType) -> bool:
    return any(type(value).__module__.startswith("numba.") for value in vars(module).values())


def _module_of(value: object) -> str:
    """Where a function, a kernel or a class was written."""
    origin = getattr(value, "__module__", None)
    return origin if isinstance(origin, str) else ""


@cache
def _source(name: str) -> str | None:
    """Digest of a module's source as this process first saw it."""
    try:
        return digest_of(inspect.getsource(sys.modules[name]))
    except (KeyError, OSError, TypeError):
        return None
