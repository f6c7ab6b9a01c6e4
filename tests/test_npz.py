"""Archives of arrays that lie: whatever is wrong with them is one error of ours, before memory is asked for."""

from __future__ import annotations

import re
import struct
import tracemalloc
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewflips.errors import InputError, SamplesError
from fewflips.files.npz import Header, read_npz


def header(text: str, version: int = 1) -> bytes:
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text.encode("latin1")


def described(shape: str = "(5,)", descr: str = "'|u1'") -> str:
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}"


def archive(path: Path, member: bytes, method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr("x.npy", member)
    return path


def everything(names: Sequence[str]) -> Sequence[str]:
    return names


def at_most_a_megabyte(headers: Mapping[str, Header]) -> None:
    size = sum(header.nbytes for header in headers.values())
    if size > 1 << 20:
        raise SamplesError(f"{size} bytes are too many")


def test_arrays_come_as_they_were_written(tmp_path: Path) -> None:
    arrays = {"a": np.arange(6, dtype=">i2").reshape(2, 3), "b": np.asfortranarray(np.eye(3)), "c": np.zeros((0, 4))}
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "arrays.npz", **arrays)
        read = read_npz(tmp_path / "arrays.npz", lambda names: names[:2], at_most_a_megabyte)
        assert list(read) == ["a", "b"]
        assert all(np.array_equal(read[name], arrays[name]) and read[name].dtype == arrays[name].dtype for name in read)


HEADERS = {
    "an open parenthesis": described("(5,"),  # TokenError
    "an open string": "{'descr': '|u1",
    "many parentheses": "(" * 900,  # MemoryError or SyntaxError
    "nested tuples": described("(" * 90 + "1" + ",)" * 90),
    "many signs": described("(" + "-" * 3000 + "1,)"),  # RecursionError
    "a huge number": described("(1" + "0" * 5000 + ",)"),
    "too large for an index": described(f"({2**63},)"),
    "sizes whose product overflows": described(f"({2**40}, {2**40})", "'<f8'"),
    "zero of very many": described(f"({2**62}, 0, {2**62})"),
    "very many of nothing": described(f"({2**62},)", "'|S0'"),
    "a shape of text": described("'text'"),
    "a shape of truth": described("(True, 5)"),
    "a negative shape": described("(-1, 5)"),
    "an unknown type": described(descr="'|q9'"),
    "a type of Python objects": described(descr="'|O'"),
    "a structure of Python objects": described(descr="[('a', '|O')]"),
    "a type that is a number": described(descr="5"),
    "a structure without end": described(descr="[('a', " * 200 + "'u1'" + ")]" * 200),
    "a giant element": described("(1,)", f"'|V{2**31 - 1}'"),
    "a subarray that overflows": described("(1,)", f"('<f8', ({2**31 - 1}, {2**31 - 1}))"),
    "a call": described("().__class__"),
    "no dictionary": "[1, 2]",
    "a null": "{'descr': '\0'}",
    "no text": "",
    "other keys": "{'a': 1}",
}
DESCRIBE_NOTHING = ("zero of very many", "very many of nothing")
"""No byte is missing of these: they may be read."""


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("case", HEADERS)
def test_headers_that_lie(case: str, version: int, tmp_path: Path) -> None:
    path = archive(tmp_path / "x.npz", header(HEADERS[case], version) + bytes(5))
    tracemalloc.start()
    try:
        read_npz(path, everything, at_most_a_megabyte)
    except InputError as error:
        assert re.search(r"x\.npz: |bytes are too many", str(error))  # noqa: PT017 - no other error gets here
    else:
        assert case in DESCRIBE_NOTHING
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 8 << 20


def test_an_array_larger_than_its_member_is_refused_before_it_is_allocated(tmp_path: Path) -> None:
    path = archive(tmp_path / "x.npz", header(described("(1000000,)")) + bytes(5))
    with pytest.raises(InputError, match=r"array 'x' has 5 bytes, where its header says 1000000: write it again"):
        read_npz(path, everything, at_most_a_megabyte)


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_methods_that_numpy_does_not_use(method: int, tmp_path: Path) -> None:
    """LZMA's header asks for up to 4 GiB of dictionary, however short the data."""
    path = archive(tmp_path / "x.npz", header(described()) + bytes(5), method)
    with pytest.raises(InputError, match=r"array 'x' is packed by a method that numpy.savez does not use"):
        read_npz(path, everything, at_most_a_megabyte)


def test_an_absent_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"x\.npz: expected an \.npz as numpy.savez writes it, got a damaged file"):
        read_npz(tmp_path / "x.npz", everything, at_most_a_megabyte)


@given(data=st.data())
def test_headers_of_any_text(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    text = described()
    place, length = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, 4))
    new = data.draw(st.text(st.sampled_from("()[]{}'\"\\,:-+*0123456789xeLj \n\0\tTrue<>|iufO#"), max_size=8))
    path = tmp_path_factory.getbasetemp() / "any.npz"
    archive(path, header(text[:place] + new + text[place + length :]) + bytes(5))
    try:
        assert list(read_npz(path, everything, at_most_a_megabyte)) == ["x"]
    except InputError as error:
        assert str(error)  # noqa: PT017 - either outcome is right
