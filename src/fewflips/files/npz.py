"""Reads ``.npz`` archives that may be damaged or hostile.

The size of an array is known from its header, and compared with the archive's content before memory is allocated;
Python objects are not loaded.
"""

from __future__ import annotations

import math
import warnings
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import FewflipsError, InputError
from fewflips.files.input_files import open_plain

_COMPRESSION = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_HEADERS: dict[tuple[int, int], Callable[[IO[bytes]], tuple[tuple[int, ...], bool, np.dtype[Any]]]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


@dataclass(frozen=True)
class Header:
    """The header of an array.

    Parameters
    ----------
    shape : tuple of int
        Lengths of the axes.
    dtype : numpy.dtype
        Type of an element.
    present : int
        Bytes that the archive states for the elements.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    present: int

    @property
    def nbytes(self) -> int:
        """Bytes of the array."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_npz(
    path: Path,
    choose: Callable[[Sequence[str]], Iterable[str]],
    check: Callable[[Mapping[str, Header]], None],
    expected: str = "an .npz as numpy.savez writes it",
) -> dict[str, NDArray[Any]]:
    """Read some arrays of an archive.

    Parameters
    ----------
    path : Path
        The archive.
    choose : callable
        Given the sorted names of all arrays, returns those to read; raises a fewflips error if one is missing.
    check : callable
        Given the headers of the chosen arrays by name, raises a fewflips error if they do not fit, or would take too
        much memory.
    expected : str
        Description of the expected file, for messages.

    Returns
    -------
    dict of str to ndarray
        The arrays, by name.

    Raises
    ------
    InputError
        If the archive cannot be read, is damaged, or contains Python objects; also whatever `choose` and `check` raise.
    """
    try:
        with open_plain(path) as file, zipfile.ZipFile(file) as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about escapes in the text of a header
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist() if _is_array(info)}
            chosen = {name: members[name] for name in choose(sorted(members))}
            headers = {name: _header(path, archive, name, info) for name, info in chosen.items()}
            check(headers)
            for name, header in headers.items():
                if header.nbytes > header.present:
                    raise ValueError(
                        f"array '{name}' has {header.present} bytes, where its header says {header.nbytes}"
                    )
            return {name: _array(archive, info) for name, info in chosen.items()}
    except FewflipsError:
        raise
    except Exception as error:  # NumPy evaluates headers as Python, zipfile decrypts and unpacks: anything may come
        detail = str(error) or type(error).__name__
        raise InputError(f"{path}: expected {expected}, got a damaged file: {detail}: write it again") from error


def _is_array(info: zipfile.ZipInfo) -> bool:
    return info.filename.endswith(".npy")


def _header(path: Path, archive: zipfile.ZipFile, name: str, info: zipfile.ZipInfo) -> Header:
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
    return Header(shape, dtype, info.file_size - begin)


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> NDArray[Any]:
    with archive.open(info) as stream:
        return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))
