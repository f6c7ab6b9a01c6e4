"""Pickles that are programs: none takes more memory than it has bytes for, and none but plain data is made."""

from __future__ import annotations

import pickle
import struct
import subprocess
import sys

import numpy as np
import pytest

from fewflips.errors import InputError
from fewflips.training.datasets.plain_pickle import load_plain_pickle

LATIN = b"\x8c\x07_codecs\x8c\x06encode\x93\x94" + b"X" + struct.pack("<I", 100_000) + b"x" * 100_000 + b"\x94\x85\x94"

BOMBS = {
    "a place of the memo": b"\x80\x04]r\xff\xff\xff\x7f.",
    "another place of the memo": b"]p2000000000\n.",
    "a long byte string": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b".",
    "a long text": b"\x80\x04\x8d" + struct.pack("<Q", 1 << 40) + b".",
    "a longer byte array": b"\x80\x05\x96" + struct.pack("<Q", 1 << 33) + b".",
    "a long frame": b"\x80\x04\x95" + struct.pack("<Q", 1 << 40) + b"N.",
    "a long integer": b"\x80\x02\x8b" + struct.pack("<i", 1 << 30) + b".",
    "an integer of many digits": b"L" + b"9" * 100_000 + b"L\n.",
    "copies of the top": b"]" + b"2" * 100 + b"t.",
    "one text made bytes again and again": b"\x80\x04" + LATIN + b"]" + b"h\x00h\x02Ra" * 100_000 + b".",
    "tuples in tuples as a key": b"\x80\x02}N" + b"\x85" * 400_000 + b"Ns.",
    "more lists than a data set has": b"(" + b"]" * 2_000_000 + b"l.",
}


def test_bombs_are_refused_in_little_memory() -> None:
    """In a process of limited memory; what would crash or fill it comes to light by the line that is missing."""
    pytest.importorskip("resource")
    code = """
import pickle, resource, sys
from fewflips.errors import InputError
from fewflips.training.datasets.plain_pickle import load_plain_pickle
bombs = pickle.load(sys.stdin.buffer)
resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for name, bomb in bombs.items():
    try:
        load_plain_pickle(bomb, name)
    except InputError as error:
        print(error, flush=True)
assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 1.5 * before
"""
    given = pickle.dumps(BOMBS)
    done = subprocess.run([sys.executable, "-c", code], input=given, capture_output=True, check=False)
    said = done.stdout.decode().splitlines()
    assert [line.partition(": ")[0] for line in said] == list(BOMBS), done.stderr[-500:]
    assert all(": expected a pickle, got a damaged file: " in line and "MemoryError" not in line for line in said)
    assert done.returncode == 0, done.stderr[-500:]


@pytest.mark.parametrize("protocol", range(5))
def test_plain_data_is_read(protocol: int) -> None:
    images = np.arange(60, dtype=np.uint8).reshape(5, 12)
    plain = {
        b"labels": list(range(300)),
        b"names": [b"a", b"b"] * 50,
        b"x": (1, 2.5, None, True, -(2**70)),
        "t": "\u20ac",
    }
    read = load_plain_pickle(pickle.dumps({**plain, b"data": images}, protocol), "batch")
    assert np.array_equal(read.pop(b"data"), images)
    assert read == plain


@pytest.mark.parametrize("content", [{1, 2}, frozenset({1}), bytearray(b"x")], ids=["set", "frozenset", "bytearray"])
def test_what_plain_data_has_no_need_of(content: object) -> None:
    with pytest.raises(InputError, match="batch: expected a pickle"):
        load_plain_pickle(pickle.dumps(content, 5), "batch")
