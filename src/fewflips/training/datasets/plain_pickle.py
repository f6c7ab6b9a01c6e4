"""Reads pickles of plain data and byte arrays, and refuses all others.

A pickle is a program: it can call anything its names refer to. Here the only names it may use are those with which
NumPy pickles an array, which are mapped to stand-ins that record their arguments (NumPy's own unpickling is never
reached), and the one with which Python 3 writes bytes for Python 2. The program is inspected before it runs: it may
contain only instructions that plain data needs, and none that takes more memory than the pickle's size.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import InputError


def load_plain_pickle(data: bytes, name: str) -> Any:
    """The content of a pickle of dicts, lists, tuples, numbers, bytes, strings and uint8 arrays.

    Parameters
    ----------
    data : bytes
        The pickle, possibly from Python 2, whose strings become bytes.
    name : str
        Name of the file, for messages.

    Returns
    -------
    object
        The content. Arrays become ndarrays of uint8 only in dictionaries at the top level; elsewhere they remain as
        recorded.

    Raises
    ------
    InputError
        If the pickle is damaged, or needs anything else.
    """
    try:
        _check_instructions(data)
        content = _PlainUnpickler(data).load()
        if isinstance(content, dict):
            return {key: _as_array(value) if isinstance(value, _Array) else value for key, value in content.items()}
        return content
    except _ForbiddenName as error:
        raise InputError(
            f"{name}: expected a pickle of plain data and arrays, got one that asks for {error}, which is not loaded: "
            "it may be hostile"
        ) from error
    except Exception as error:  # a damaged pickle can raise anything
        detail = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{name}: expected a pickle, got a damaged file: {detail}: download the file again") from error


class _ForbiddenName(Exception):
    """A name that no plain pickle needs."""


class _Noted:
    """A NumPy object that is not created: its arguments and its state."""

    state: Any = None

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Type(_Noted):
    """A stand-in for ``numpy.dtype``."""


class _Array(_Noted):
    """A stand-in for the result of ``numpy._reconstruct``."""


_STAND_INS: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): None,
    ("numpy", "dtype"): _Type,
}

_MOST_INSTRUCTIONS = 1_000_000
"""Limit of instructions; a batch of CIFAR-10 has 50,000."""
_MOST_TUPLES = 1000
"""Limit of nesting: Python hashes tuples recursively, without a limit."""
_PLAIN_DATA = """
    PROTO FRAME STOP MARK POP_MARK NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT
    STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8
    EMPTY_LIST LIST APPEND APPENDS EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_DICT DICT SETITEM SETITEMS
    PUT BINPUT LONG_BINPUT MEMOIZE GET BINGET LONG_BINGET GLOBAL STACK_GLOBAL REDUCE BUILD
"""
_INSTRUCTIONS = frozenset(_PLAIN_DATA.split())


def _check_instructions(data: bytes) -> None:
    """Refuse instructions that plain data does not need, and memo indices that exceed the pickle's size."""
    tuples = 0
    for number, (instruction, argument, _) in enumerate(pickletools.genops(data)):
        if instruction.name not in _INSTRUCTIONS:
            raise ValueError(f"instruction {instruction.name}, which plain data has no need of")
        if number >= _MOST_INSTRUCTIONS:
            raise ValueError(f"more than {_MOST_INSTRUCTIONS} instructions")
        if instruction.name.endswith("PUT") and argument is not None and argument > 2 * number + 1000:
            raise ValueError(f"place {argument} of the memo after {number} instructions")
        tuples += "TUPLE" in instruction.name
        if tuples > _MOST_TUPLES:
            raise ValueError(f"more than {_MOST_TUPLES} tuples")


class _PlainUnpickler(pickle.Unpickler):
    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data), encoding="bytes")
        self._unspent = len(data)

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("_codecs", "encode"):
            return self._latin_1
        if (module, name) not in _STAND_INS:
            raise _ForbiddenName(f"{module}.{name}"[:100])
        return _STAND_INS[module, name]

    def _latin_1(self, text: str, _: str = "latin1") -> bytes:
        """A stand-in for ``codecs.encode``, which could be called with costlier codecs, or repeatedly with one text."""
        self._unspent -= len(text)
        if self._unspent < 0:
            raise ValueError("texts that become more bytes than the pickle has")
        return text.encode("latin1")


def _as_array(noted: _Array) -> NDArray[np.uint8]:
    """The array of bytes described by a recorded state: (version, shape, type, column order, bytes)."""
    _, shape, dtype, column_order, content = noted.state
    if not isinstance(dtype, _Type) or dtype.arguments[0] not in (b"u1", "u1") or column_order:
        raise ValueError("an array that is not of bytes, row by row")
    if len(content) != math.prod(shape):
        raise ValueError(f"an array of shape {shape} with {len(content)} bytes")
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)
