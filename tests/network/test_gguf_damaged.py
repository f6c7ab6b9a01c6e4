"""Damaged and hostile GGUF files: one clear error, no crash, no memory."""

from __future__ import annotations

import struct
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import fewflips
from fewflips.errors import FewflipsError, ModelError
from tests.network import build_gguf as files
from tests.test_input_files import within_seconds

pytest.importorskip("gguf", reason="needs the package gguf: pip install 'fewflips[gguf]'")

HUGE = 10**12


def changed(**fields: object) -> bytes:
    """The small model, its second matrix changed."""
    tensors = files.small()
    tensors[2] = replace(tensors[2], **fields)
    return files.build(tensors)


def with_entry(entry: bytes) -> bytes:
    return files.build(files.small(), [*files.METADATA, entry])


def array(kind: int, count: int, content: bytes = b"") -> bytes:
    return files.entry("x", files.ARRAY, struct.pack("<IQ", kind, count) + content)


NESTED = struct.pack("<IQ", files.ARRAY, 1) * 100
GOOD = files.build(files.small())
CASES = {
    "another file": (b"PK" + GOOD[2:], "expected a GGUF file, which begins with GGUF, got b'PKUF'"),
    "first version": (files.build(files.small(), version=1), "expected version 2 or 3 of GGUF, got 1"),
    "big-endian": (files.build(files.small(), version=3 << 24), "expected a little-endian GGUF file"),
    "10^12 tensors": (
        files.build(files.small(), tensor_count=HUGE),
        "its header has 1000000000000 tensors, of at least 24 bytes each, and the file ends after",
    ),
    "10^12 entries": (files.build(files.small(), entry_count=HUGE), "its header has 1000000000000 entries of metadata"),
    "one entry more": (files.build(files.small(), entry_count=5), "damaged GGUF file"),
    "one tensor more": (files.build(files.small(), tensor_count=6), "damaged GGUF file"),
    "10^12 elements": (changed(axes=(10**6, 10**6)), "(Q4_0): expected 562500000000 bytes from"),
    "2^40 elements": (
        changed(axes=(2**20, 2**20)),
        "'blk.0.attn_q.weight' of shape [1048576, 1048576] (Q4_0): expected 618475290624 bytes from",
    ),
    "axes whose product overflows": (changed(axes=(2**32, 2**32, 2, 2)), "(Q4_0): expected 41505174165846491136 bytes"),
    "no elements": (changed(axes=(64, 0)), "got the shape [64, 0]"),
    "rows of no whole blocks": (changed(axes=(16, 24)), "expected rows of a multiple of 32 elements for Q4_0"),
    "no axes": (changed(axes=()), "tensor 'blk.0.attn_q.weight': expected 1 to 4 axes, got 0"),
    "five axes": (changed(axes=(32, 1, 1, 1, 1)), "expected 1 to 4 axes, got 5"),
    "an unknown type": (changed(kind=4), "has the type 4, which the installed package gguf does not know"),
    "an offset outside": (changed(offset=1 << 20), "bytes from"),
    "an offset that overflows": (changed(offset=(1 << 64) - 32), "bytes from"),
    "an offset between": (changed(offset=33), "expected an offset in steps of 32, got 33"),
    "overlapping tensors": (changed(offset=0), "the tensors 'token_embd.weight' and 'blk.0.attn_q.weight' overlap"),
    "a name twice": (changed(name="output.weight"), "two tensors have the name 'output.weight'"),
    "a name that is no text": (GOOD.replace(b"attn_q.w", b"attn_q.\xff"), "the name of a tensor is not UTF-8"),
    "a name without end": (
        GOOD.replace(files.text("output.weight")[:8] + b"output.w", struct.pack("<Q", HUGE) + b"output.w"),
        "the name of a tensor has 1000000000000 bytes",
    ),
    "a key twice": (with_entry(files.ARCHITECTURE), "the key 'general.architecture' is there twice"),
    "an unknown type of value": (with_entry(files.entry("x", 13, b"")), "'x' has the type 13, expected 0 to 12"),
    "an unknown type of elements": (with_entry(array(13, 1)), "'x' has the type 13, expected 0 to 12"),
    "a text without end": (
        with_entry(files.entry("x", files.STRING, struct.pack("<Q", HUGE))),
        "expected 1000000000000 bytes of 'x'",
    ),
    "an array without end": (with_entry(array(files.UINT32, HUGE)), "its header has 1000000000000 elements of 'x'"),
    "strings without end": (with_entry(array(files.STRING, HUGE)), "its header has 1000000000000 strings in 'x'"),
    "a string without end": (
        with_entry(array(files.STRING, 1, struct.pack("<Q", 1 << 63))),
        "expected 9223372036854775808 bytes of a string of 'x'",
    ),
    "arrays within arrays": (with_entry(files.entry("x", files.ARRAY, NESTED)), "arrays, more than 4 deep"),
    "an alignment of 0": (
        with_entry(files.entry("general.alignment", files.UINT32, struct.pack("<I", 0))),
        "general.alignment: expected a power of two",
    ),
    "an alignment of 24": (
        with_entry(files.entry("general.alignment", files.UINT32, struct.pack("<I", 24))),
        "got 24",
    ),
    "an alignment that is a text": (
        with_entry(files.entry("general.alignment", files.STRING, files.text("32"))),
        "general.alignment: expected a power of two",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_one_line_says_what_is_wrong(name: str, tmp_path: Path):
    content, words = CASES[name]
    path = files.save(tmp_path / "a.gguf", content)
    tracemalloc.start()
    with within_seconds(20), pytest.raises(ModelError) as caught:
        fewflips.load(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert peak < 8 << 20


def test_the_good_file_is_good(tmp_path: Path):
    assert len(fewflips.load(files.save(tmp_path / "a.gguf", GOOD)).layers) == 2
    aligned = [*files.METADATA, files.entry("general.alignment", files.UINT32, struct.pack("<I", 64))]
    path = files.save(tmp_path / "b.gguf", files.build(files.small(), aligned, alignment=64))
    expected = [layer.weights.tolist() for layer in fewflips.load(tmp_path / "a.gguf").layers]
    assert [layer.weights.tolist() for layer in fewflips.load(path).layers] == expected


def test_every_shorter_file_is_refused(tmp_path: Path):
    for length in range(4, len(GOOD)):
        with pytest.raises(ModelError):
            fewflips.load(files.save(tmp_path / "a.gguf", GOOD[:length]))


def test_a_file_of_10_to_the_12_elements_is_refused_before_it_is_read(tmp_path: Path):
    """A sparse file can have as many bytes as it states."""
    tensors = [replace(files.small()[2], axes=(2**20, 2**20), content=b"")]
    path = files.save(tmp_path / "a.gguf", files.build(tensors))
    with path.open("r+b") as file:
        try:
            file.truncate(2**40)
        except OSError:
            pytest.skip("the file system has no sparse files of a tebibyte")
    with within_seconds(20), pytest.raises(ModelError, match="expected at most 2147483648 elements, got 1099511627776"):
        fewflips.load(path)


def test_random_changes_end_in_one_line_or_in_a_network(tmp_path: Path):
    generator = np.random.default_rng(9)
    header = GOOD.index(b"output.weight") + 40
    for _ in range(300):
        content = bytearray(GOOD)
        for place in generator.integers(4, header, 3):
            content[place] = generator.integers(0, 256)
        said = ""
        try:
            network = fewflips.load(files.save(tmp_path / "a.gguf", bytes(content)))
            assert all(layer.weights.shape == (layer.n, layer.k) for layer in network.layers)
        except FewflipsError as error:
            said = str(error)
        assert "\n" not in said
