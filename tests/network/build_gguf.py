"""GGUF files, byte by byte as the format's specification has them, damaged ones included."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

UINT8, UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY, UINT64 = 0, 4, 5, 6, 7, 8, 9, 10
F32, F16, Q4_0, Q4_1, Q8_0, Q4_K, Q6_K, IQ2_XXS, IQ4_NL = 0, 1, 2, 3, 8, 12, 14, 16, 20
BLOCKS = {F32: (1, 4), F16: (1, 2), Q4_0: (32, 18), Q4_1: (32, 20), Q8_0: (32, 34), IQ4_NL: (32, 18)}
BLOCKS |= {Q4_K: (256, 144), Q6_K: (256, 210), IQ2_XXS: (256, 66)}
"""Elements of a block, and its bytes."""
ALIGNMENT = 32


@dataclass
class Tensor:
    """What a header says of a tensor, and its bytes."""

    name: str
    kind: int
    axes: tuple[int, ...]
    """The fastest first."""
    content: bytes
    offset: int | None = None
    """Within the data; by default after the tensor before."""


def text(content: str | bytes) -> bytes:
    content = content.encode() if isinstance(content, str) else content
    return struct.pack("<Q", len(content)) + content


def entry(key: str | bytes, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def strings(key: str, words: Sequence[str]) -> bytes:
    return entry(key, ARRAY, struct.pack("<IQ", STRING, len(words)) + b"".join(text(word) for word in words))


ARCHITECTURE = entry("general.architecture", STRING, text("llama"))
METADATA = (
    ARCHITECTURE,
    strings("tokenizer.ggml.tokens", ["a", "", "longer"]),
    entry("tokenizer.ggml.scores", ARRAY, struct.pack("<IQ3f", FLOAT32, 3, 0.5, 1, 2)),
    entry("llama.block_count", UINT32, struct.pack("<I", 1)),
)


def random_blocks(kind: int, axes: tuple[int, ...], seed: int) -> bytes:
    block, size = BLOCKS[kind]
    count = int(np.prod(axes)) // block
    return np.random.default_rng(seed).integers(0, 256, count * size, dtype=np.uint8).tobytes()


def tensor(name: str, kind: int, axes: tuple[int, ...], seed: int = 0) -> Tensor:
    return Tensor(name, kind, axes, random_blocks(kind, axes, seed))


def build(
    tensors: Sequence[Tensor],
    metadata: Sequence[bytes] = METADATA,
    *,
    version: int = 3,
    alignment: int = ALIGNMENT,
    tensor_count: int | None = None,
    entry_count: int | None = None,
) -> bytes:
    placed, data = [], b""
    for one in tensors:
        data += bytes(-len(data) % alignment)
        placed.append(replace(one, offset=len(data) if one.offset is None else one.offset))
        data += one.content
    header = b"GGUF" + struct.pack("<I", version)
    header += struct.pack("<Q", len(tensors) if tensor_count is None else tensor_count)
    header += struct.pack("<Q", len(metadata) if entry_count is None else entry_count)
    header += b"".join(metadata)
    for one in placed:
        header += text(one.name) + struct.pack("<I", len(one.axes)) + struct.pack(f"<{len(one.axes)}Q", *one.axes)
        header += struct.pack("<IQ", one.kind, one.offset)
    return header + bytes(-len(header) % alignment) + data


def small() -> list[Tensor]:
    """A table, a norm and two matrices: N, K = 6, 64 and 4, 32."""
    return [
        tensor("token_embd.weight", Q4_0, (32, 5), 1),
        tensor("blk.0.attn_norm.weight", F32, (32,), 2),
        tensor("blk.0.attn_q.weight", Q4_0, (64, 6), 3),
        tensor("blk.0.attn_q.bias", F32, (6,), 4),
        tensor("output.weight", Q8_0, (32, 4), 5),
    ]


def save(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
