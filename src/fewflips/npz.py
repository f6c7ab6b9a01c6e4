"""Reading ``.npz`` archives that may be damaged or hostile.

What an array takes is known from its header, and held against what the archive has for it, before any memory is
asked for; Python objects are not loaded.
"""

from __future__ import annotations

import math
import warnings
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import FewflipsError, InputError

_COMPRESSION = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_HEADERS: dict[tuple[int, int], Callable[[IO[bytes]], tuple[tuple[int, ...], bool, np.dtype[Any]]]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_npz(
    path: Path,
    choose: Callable[[Sequence[str]], Iterable[str]],
    check_memory: Callable[[int], None],
    expected: str = "an .npz as numpy.savez writes it",
) -> dict[str, NDArray[Any]]:
    """Read some arrays of an archive.

    Parameters
    ----------
    path : Path
        The archive.
    choose : callable
        Given the names of all arrays, sorted, gives those to read; raises an error of ours where one is missing.
    check_memory : callable
        Given how many bytes the chosen arrays take, raises an error of ours where that is too much.
    expected : str
        What the file is to be, for messages.

    Returns
    -------
    dict of str to ndarray
        The arrays, by name.

    Raises
    ------
    InputError
        If the archive cannot be read, is damaged, or holds Python objects; and what `choose` and `check_memory` raise.
    """
    try:
        with zipfile.ZipFile(path) as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on escapes in the text of a header
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist() if _is_array(info)}
            chosen = {name: members[name] for name in choose(sorted(members))}
            sizes = {name: _declared_bytes(path, archive, name, info) for name, info in chosen.items()}
            check_memory(sum(declared for declared, _ in sizes.values()))
            for name, (declared, present) in sizes.items():
                if declared > present:
                    raise ValueError(f"array '{name}' has {present} bytes, where its header says {declared}")
            return {name: _array(archive, info) for name, info in chosen.items()}
    except FewflipsError:
        raise
    except Exception as error:  # NumPy evaluates headers as Python, and zipfile decrypts and unpacks: anything comes
        detail = str(error) or type(error).__name__
        raise InputError(f"{path}: expected {expected}, got a damaged file: {detail}: write it again") from error


def _is_array(info: zipfile.ZipInfo) -> bool:
    return info.filename.endswith(".npy")


def _declared_bytes(path: Path, archive: zipfile.ZipFile, name: str, info: zipfile.ZipInfo) -> tuple[int, int]:
    """Bytes that an array takes as its header says, and those that the archive says to have for it."""
    if info.compress_type not in _COMPRESSION:
        raise ValueError(f"array '{name}' is packed by a method that numpy.savez does not use")
    with archive.open(info) as stream:
        version = np.lib.format.read_magic(stream)
        if version not in _HEADERS:
            raise ValueError(f"array format version {version} is not supported")
        shape, _, dtype = _HEADERS[version](stream)
        begin = stream.tell()
    if dtype.hasobject:
        raise InputError(f"{path}: array '{name}': expected numbers, got Python objects, which are not loaded")
    if any(length < 0 for length in shape):
        raise ValueError(f"negative shape {shape}")
    return math.prod(shape) * dtype.itemsize, info.file_size - begin


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> NDArray[Any]:
    with archive.open(info) as stream:
        return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))
