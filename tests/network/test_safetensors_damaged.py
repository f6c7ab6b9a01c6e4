"""Damaged and hostile folders of safetensors: one clear error, no crash, no memory."""

from __future__ import annotations

import json
import os
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import fewflips
from fewflips.errors import FewflipsError, ModelError
from tests.network import build_safetensors as models
from tests.test_input_files import within_seconds

pytest.importorskip("safetensors", reason="needs the package safetensors: pip install 'fewflips[safetensors]'")

MODULE = "up"
HUGE = 10**12
GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 16}
TENSORS = models.gptq(MODULE, models.matrix(8, 64, 16, 4), 4)
GOOD = models.file_bytes(TENSORS)
LENGTHS = {name: len(content) for name, (_, _, content) in TENSORS.items()}


def entry(dtype: str, shape: object, begin: int, end: int) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def header(**changes: object) -> Callable[[Path], None]:
    """The file with other entries of its header."""
    return lambda folder: save(folder, models.file_bytes(TENSORS, **changes))


def save(folder: Path, content: bytes) -> None:
    (folder / "model.safetensors").write_bytes(content)


def content(data: bytes) -> Callable[[Path], None]:
    return lambda folder: save(folder, data)


def config(**settings: object) -> Callable[[Path], None]:
    """Another quantization_config."""
    return lambda folder: (folder / "config.json").write_text(json.dumps({"quantization_config": settings}))


def index(places: object) -> Callable[[Path], None]:
    text = json.dumps({"weight_map": places})
    return lambda folder: (folder / "model.safetensors.index.json").write_text(text)


def tensors(**changes: tuple[str, tuple[int, ...], bytes]) -> Callable[[Path], None]:
    """Other tensors of the module."""
    changed = TENSORS | {f"{MODULE}.{name}": tensor for name, tensor in changes.items()}
    return lambda folder: save(folder, models.file_bytes(changed))


def without(name: str) -> Callable[[Path], None]:
    left = {key: tensor for key, tensor in TENSORS.items() if key != f"{MODULE}.{name}"}
    return lambda folder: save(folder, models.file_bytes(left))


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


FIRST = f"{MODULE}.qweight"
OUTSIDE = "expected names of .safetensors files beside it"
CASES = {
    "an empty file": (content(b""), "expected a header of 0 bytes, in a file of 0"),
    "a header without end": (content(struct.pack("<Q", HUGE) + GOOD[8:]), "expected a header of 1000000000000 bytes"),
    "no JSON": (content(models.with_header(b"{", b"")), "its header is not JSON"),
    "JSON within JSON": (content(models.with_header(b"[" * 100_000, b"")), "its header is not JSON"),
    "a list": (content(models.with_header(b"[1]", b"")), "expected a header that names tensors, got list"),
    "no entry": (header(**{FIRST: 3}), "expected its type, shape and place, got int"),
    "an unknown type": (header(**{FIRST: entry("I3", [8], 0, 3)}), "expected a type such as I32 or F16, got 'I3'"),
    "no shape": (header(**{FIRST: entry("I32", "8", 0, 32)}), "expected a shape and two offsets, got '8'"),
    "a negative length": (header(**{FIRST: entry("I32", [-8], 0, 32)}), "expected a shape and two offsets, got [-8]"),
    "10^12 elements": (header(**{FIRST: entry("I32", [10**6, 10**6], 0, 4 * HUGE)}), "expected as many bytes as"),
    "elements beyond number": (header(**{FIRST: entry("I32", [1 << 62] * 8, 0, 256)}), "expected as many bytes as"),
    "a size that lies": (header(**{FIRST: entry("I32", [8, 9], 0, 256)}), "expected as many bytes as"),
    "an offset outside": (header(x=entry("I8", [1], HUGE, HUGE + 1)), "after the header, in a file of"),
    "overlapping tensors": (header(x=entry("I32", [2], 0, 8)), "overlap"),
    "bytes that are no tensor's": (content(GOOD + b"x"), "safetensors refuses it"),
    "cut short": (content(GOOD[:-1]), "after the header, in a file of"),
    "no weights": (remove("model.safetensors"), "or model.safetensors.index.json, got neither"),
    "no configuration": (remove("config.json"), "config.json: is missing"),
    "a missing file": (index({FIRST: "model-00001.safetensors"}), "the file model-00001.safetensors is missing"),
    "a file above": (index({FIRST: "../model.safetensors"}), OUTSIDE),
    "an absolute file": (index({FIRST: "/etc/passwd.safetensors"}), OUTSIDE),
    "a file on a drive": (index({FIRST: "C:model.safetensors"}), OUTSIDE),
    "a file of another kind": (index({FIRST: "config.json"}), OUTSIDE),
    "no name of a file": (index({FIRST: "model.safetensors\0"}), OUTSIDE),
    "a tensor that is elsewhere": (index({"x": "model.safetensors"}), "tensor 'x' is not in model.safetensors"),
    "an index of numbers": (index({"x": 3}), "weight_map: expected the file of each tensor"),
    "an index without a map": (index(None), "weight_map: expected the file of each tensor"),
    "settings of another type": (
        lambda folder: (folder / "config.json").write_text('{"quantization_config": 4}'),
        "quantization_config: expected entries, got int",
    ),
    "a configuration that is no JSON": (
        lambda folder: (folder / "config.json").write_bytes(b"\xff\xfe"), "config.json: not JSON"
    ),
    "a configuration that is a list": (
        lambda folder: (folder / "config.json").write_text("[]"), "config.json: expected entries by name, got list"
    ),
    "5 bits": (config(quant_method="gptq", bits=5, group_size=16), "expected GPTQ of 2, 3, 4 or 8 bits, got 5"),
    "bits in words": (config(quant_method="gptq", bits="four"), "expected GPTQ of 2, 3, 4 or 8 bits, got four"),
    "8 bits in files of 4": (config(quant_method="gptq", bits=8, group_size=16), "qzeros of shape [4, 2], got"),
    "another group size": (config(quant_method="gptq", bits=4, group_size=32), "a group_size that makes 4 groups"),
    "a group size of 0": (config(quant_method="gptq", bits=4, group_size=0), "a group_size that makes 4 groups"),
    "AWQ for another kernel": (config(quant_method="awq", bits=4, version="gemv"), "AWQ of 4 bits, version gemm"),
    "no scales": (without("scales"), "expected a tensor scales beside g_idx, qweight, qzeros, got none"),
    "scales of integers": (tensors(scales=models.integers(np.ones((4, 8)))), "scales of type F16 or BF16"),
    "scales of another width": (tensors(scales=models.floats(np.ones((4, 7)))), "expected scales of shape [4, 8], got"),
    "groups outside": (tensors(g_idx=models.integers([4, *[0] * 63])), "indices from 0 to 3, got 0 to 4"),
    "groups below 0": (tensors(g_idx=models.integers([-1, *[1] * 63])), "indices from 0 to 3, got -1 to 1"),
    "groups of another length": (tensors(g_idx=models.integers([0] * 63)), "indices of shape [64], got [63]"),
}  # fmt: skip


def good(folder: Path) -> Path:
    return models.save(folder / "model", TENSORS, GPTQ)


@pytest.mark.parametrize("name", CASES)
def test_one_line_says_what_is_wrong(name: str, tmp_path: Path):
    damage, words = CASES[name]
    folder = good(tmp_path)
    damage(folder)
    tracemalloc.start()
    with within_seconds(20), pytest.raises(ModelError) as caught:
        fewflips.load(folder)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert words in str(caught.value)
    assert str(caught.value).startswith(str(folder))
    assert "\n" not in str(caught.value)
    assert peak < 8 << 20


def test_the_good_folder_is_good(tmp_path: Path):
    assert len(fewflips.load(good(tmp_path)).layers) == 1


def test_a_cache_may_link_to_files_elsewhere(tmp_path: Path):
    """The hub's cache is a folder of links."""
    folder, cache = good(tmp_path), tmp_path / "snapshot"
    cache.mkdir()
    for file in folder.iterdir():
        (cache / file.name).symlink_to(file)
    assert len(fewflips.load(cache).layers) == 1


def test_what_is_no_plain_file_is_not_waited_for(tmp_path: Path):
    folder = good(tmp_path)
    (folder / "config.json").unlink()
    os.mkfifo(folder / "config.json")
    with within_seconds(20), pytest.raises(ModelError, match=r"config\.json: cannot be read"):
        fewflips.load(folder)


def test_random_changes_end_in_one_line_or_in_a_network(tmp_path: Path):
    generator = np.random.default_rng(9)
    folder = good(tmp_path)
    names = ["config.json", "model.safetensors"]
    originals = {name: (folder / name).read_bytes() for name in names}
    for round_ in range(300):
        name = names[round_ % 2]
        changed = bytearray(originals[name])
        for place in generator.integers(0, min(len(changed), 600), 2):
            changed[place] = generator.integers(0, 256)
        (folder / name).write_bytes(changed)
        said = ""
        try:
            for layer in fewflips.load(folder).layers:
                assert layer.weights.shape == layer.right.element_zero_points().shape == (layer.n, layer.k)
        except FewflipsError as error:
            said = str(error)
        assert "\n" not in said
        (folder / name).write_bytes(originals[name])
