"""Folders of safetensors models: codes are packed by plain loops, as the formats are described."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Tensors = dict[str, tuple[str, tuple[int, ...], bytes]]
"""Type, shape and bytes by name."""

AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]


@dataclass
class Matrix:
    """What a module means: weight[n][k] = scale (code - zero)."""

    codes: np.ndarray
    zeros: np.ndarray
    scales: np.ndarray
    """Shape (N, groups), float16."""
    group_of: list[int]

    def value(self, n: int, k: int) -> float:
        group = self.group_of[k]
        return float(self.scales[n, group]) * (int(self.codes[n, k]) - int(self.zeros[n, group]))


def matrix(n: int, k: int, group: int, bits: int, seed: int = 0, *, act_order: bool = False) -> Matrix:
    """Random, zero points from 1 on."""
    chance = np.random.default_rng(seed)
    groups = -(-k // group)
    group_of = [at // group for at in range(k)]
    if act_order:
        group_of = chance.permutation(group_of).tolist()
    return Matrix(
        chance.integers(0, 1 << bits, (n, k)),
        chance.integers(1, 1 << bits, (n, groups)),
        chance.normal(size=(n, groups)).astype(np.float16),
        group_of,
    )


def floats(values: np.ndarray, dtype: str = "F16") -> tuple[str, tuple[int, ...], bytes]:
    kinds = {"F16": "<f2", "F32": "<f4"}
    if dtype == "BF16":
        return dtype, values.shape, (values.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
    return dtype, values.shape, values.astype(kinds[dtype]).tobytes()


def integers(values: Any, dtype: str = "I32") -> tuple[str, tuple[int, ...], bytes]:
    array = np.asarray(values, {"I8": "<i1", "I32": "<i4", "I64": "<i8"}[dtype])
    return dtype, array.shape, array.tobytes()


def as_words(rows: Sequence[Sequence[int]]) -> tuple[str, tuple[int, ...], bytes]:
    return "I32", (len(rows), len(rows[0])), b"".join(struct.pack("<I", word) for row in rows for word in row)


def stream_of(codes: Sequence[int], bits: int) -> list[int]:
    """Words of codes one after the other, the first in the lowest bits."""
    whole = 0
    for place, code in enumerate(codes):
        whole |= int(code) << (bits * place)
    return [(whole >> (32 * word)) & 0xFFFFFFFF for word in range(-(-len(codes) * bits // 32))]


def words_of(codes: Sequence[int], bits: int) -> list[int]:
    """Words of as many codes as fit, the first in the lowest bits."""
    per = 32 // bits
    return [
        sum(int(code) << (bits * place) for place, code in enumerate(codes[first : first + per]))
        for first in range(0, len(codes), per)
    ]


def transposed(rows: Sequence[Sequence[int]]) -> list[list[int]]:
    return [list(column) for column in zip(*rows, strict=True)]


def gptq(module: str, content: Matrix, bits: int, *, less: int = 1, g_idx: bool = True) -> Tensors:
    found = {
        f"{module}.qweight": as_words(transposed([stream_of(row, bits) for row in content.codes.tolist()])),
        f"{module}.qzeros": as_words([stream_of([z - less for z in row], bits) for row in content.zeros.T.tolist()]),
        f"{module}.scales": floats(content.scales.T),
    }
    return found | ({f"{module}.g_idx": integers(content.group_of)} if g_idx else {})


def awq_row(codes: Sequence[int]) -> list[int]:
    words = []
    for first in range(0, len(codes), 8):
        word = 0
        for place in range(8):
            word |= int(codes[first + AWQ_ORDER[place]]) << (4 * place)
        words.append(word)
    return words


def awq(module: str, content: Matrix) -> Tensors:
    return {
        f"{module}.qweight": as_words([awq_row(row) for row in content.codes.T.tolist()]),
        f"{module}.qzeros": as_words([awq_row(row) for row in content.zeros.T.tolist()]),
        f"{module}.scales": floats(content.scales.T),
    }


def packed(
    module: str,
    content: Matrix,
    bits: int,
    *,
    zeros: str = "packed",
    g_idx: bool = False,
    dtype: str = "F16",
    in_stream: bool = False,
) -> Tensors:
    """compressed-tensors, pack-quantized: codes and zero points are signed integers plus half of their range."""
    n, k = content.codes.shape
    packing = stream_of if in_stream else words_of
    found = {
        f"{module}.weight_packed": as_words([packing(row, bits) for row in content.codes.tolist()]),
        f"{module}.weight_shape": integers([n, k], "I64"),
        f"{module}.weight_scale": floats(content.scales, dtype),
    }
    if zeros == "packed":
        columns = [packing(column, bits) for column in content.zeros.T.tolist()]
        found[f"{module}.weight_zero_point"] = as_words(transposed(columns))
    elif zeros == "plain":
        found[f"{module}.weight_zero_point"] = integers(content.zeros - (1 << (bits - 1)), "I8")
    if g_idx:
        found[f"{module}.weight_g_idx"] = integers(content.group_of)
    return found


def compressed_config(bits: int, group: int | None, form: str = "pack-quantized") -> dict[str, Any]:
    weights = {"num_bits": bits, "type": "int", "symmetric": False, "group_size": group}
    return {"quant_method": "compressed-tensors", "format": form, "config_groups": {"group_0": {"weights": weights}}}


def file_bytes(tensors: Tensors, **changes: Any) -> bytes:
    """A safetensors file; `changes` replace entries of the header."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    return with_header(json.dumps(header | changes).encode(), data)


def with_header(header: bytes, data: bytes) -> bytes:
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + data


def save(
    folder: Path, tensors: Tensors, quantization: Mapping[str, Any] | None, shards: int = 1, **config: Any
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    settings = {} if quantization is None else {"quantization_config": quantization}
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", **config, **settings}))
    if shards == 1:
        (folder / "model.safetensors").write_bytes(file_bytes(tensors))
        return folder
    places: dict[str, str] = {}
    for shard in range(shards):
        name = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        inside = {tensor: content for place, (tensor, content) in enumerate(tensors.items()) if place % shards == shard}
        (folder / name).write_bytes(file_bytes(inside))
        places |= dict.fromkeys(inside, name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return folder
