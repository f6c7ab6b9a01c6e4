"""Language models: GGUF files, and folders of safetensors."""

from __future__ import annotations

import json
import random
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.network import build_gguf, build_safetensors

from ..kinds import Files, MutatedFiles
from ..mutation import raw
from ..mutation.tree import Trees
from ..mutation.values import INTEGERS, STRINGS
from .command import measure

GGUF = "model.gguf"

_TENSOR_SETS = (
    build_gguf.small(),
    [
        build_gguf.tensor("blk.0.ffn_gate_exps.weight", build_gguf.Q4_1, (32, 4, 2), 1),
        build_gguf.tensor("blk.0.ffn_up.weight", build_gguf.IQ2_XXS, (256, 1), 2),
        build_gguf.tensor("blk.0.ffn_down.weight", build_gguf.IQ4_NL, (32, 2), 3),
    ],
    [
        build_gguf.tensor("blk.0.ffn_up.weight", build_gguf.Q4_K, (256, 3), 4),
        build_gguf.tensor("blk.0.ffn_down.weight", build_gguf.Q6_K, (256, 2), 5),
    ],
)


def gguf(folder: Path) -> MutatedFiles:
    """Fields of the header that say something else, and bytes."""
    seeds: list[Files] = [{GGUF: build_gguf.build(tensors)} for tensors in _TENSOR_SETS]
    contents = tuple(seed[GGUF] for seed in seeds)

    def change(chance: random.Random, name: str, content: bytes) -> bytes:
        if chance.random() < 0.5:
            return raw.change(chance, content, contents)
        built = _changed_header(chance, list(_TENSOR_SETS[contents.index(content)]))
        return raw.change(chance, built, contents) if chance.random() < 0.1 else built

    return MutatedFiles(seeds, change, lambda inputs: measure(inputs / GGUF))


def _changed_header(chance: random.Random, tensors: list[build_gguf.Tensor]) -> bytes:
    metadata, counts = list(build_gguf.METADATA), {}
    way = chance.random()
    if way < 0.7:
        place = chance.randrange(len(tensors))
        tensors[place] = _changed_tensor(chance, tensors[place])
    elif way < 0.8:
        counts[chance.choice(("tensor_count", "entry_count"))] = chance.choice(INTEGERS) % 2**64
    else:
        place = chance.randrange(len(metadata) + 1)
        metadata[place:place] = [_entry(chance)]
    if chance.random() < 0.1:
        chance.shuffle(tensors)
    return build_gguf.build(tensors, metadata, version=chance.choice((3, 3, 3, 2)), **counts)


def _changed_tensor(chance: random.Random, tensor: build_gguf.Tensor) -> build_gguf.Tensor:
    way = chance.random()
    if way < 0.4:
        axes = [chance.choice(INTEGERS) % 2**64 if chance.random() < 0.5 else length for length in tensor.axes]
        if chance.random() < 0.2:
            axes.insert(chance.randrange(len(axes) + 1), chance.choice((0, 1, 2, 32)))
        return replace(tensor, axes=tuple(axes))
    if way < 0.6:
        return replace(tensor, kind=chance.randrange(48))
    if way < 0.8:
        return replace(tensor, offset=chance.choice(INTEGERS) % 2**64)
    return replace(tensor, name=chance.choice((*STRINGS, "output.weight", "token_embd.weight", "x.attn_.weight")))


def _entry(chance: random.Random) -> bytes:
    """Metadata, of any type, some of which means something."""
    keys = (*STRINGS, "general.alignment", "general.architecture", "llama.attention.causal", "split.count")
    value = struct.pack("<Q", chance.choice(INTEGERS) % 2**64)
    kind = chance.randrange(14)
    if kind == build_gguf.ARRAY:
        value = struct.pack("<I", chance.randrange(14)) + value
    elif kind == build_gguf.STRING and chance.random() < 0.5:
        value = build_gguf.text(chance.choice(STRINGS))
    return build_gguf.entry(chance.choice(keys).encode("utf-8", "surrogatepass"), kind, value)


def safetensors(folder: Path) -> MutatedFiles:
    """Configurations, indices and headers as JSON, and bytes."""
    content = build_safetensors.matrix(8, 32, 16, 4)
    chosen: list[tuple[build_safetensors.Tensors, dict[str, Any], int]] = [
        (build_safetensors.gptq("a.up", content, 4), {"quant_method": "gptq", "bits": 4, "group_size": 16}, 1),
        (build_safetensors.awq("a.up", content), {"quant_method": "awq", "bits": 4, "group_size": 16}, 2),
        (build_safetensors.packed("a.attn.q", content, 4), build_safetensors.compressed_config(4, 16), 1),
    ]
    seeds: list[Files] = []
    for place, (tensors, quantization, shards) in enumerate(chosen):
        model = build_safetensors.save(folder / str(place), tensors, quantization, shards)
        seeds.append({path.name: path.read_bytes() for path in sorted(model.iterdir())})
    texts = [text for seed in seeds for name, text in seed.items() if name.endswith(".json")]
    headers = [_header(file) for seed in seeds for name, file in seed.items() if not name.endswith(".json")]
    trees, contents = Trees([*texts, *headers]), tuple(file for seed in seeds for file in seed.values())

    def change(chance: random.Random, name: str, content: bytes) -> bytes:
        if chance.random() < 0.3:
            return raw.change(chance, content, contents)
        if name.endswith(".json"):
            return trees.change(chance, content)
        header = _header(content)
        return build_safetensors.with_header(trees.change(chance, header), content[8 + len(header) :])

    return MutatedFiles(seeds, change, measure)


def _header(file: bytes) -> bytes:
    """The JSON of a file's header, as it was padded."""
    (length,) = struct.unpack("<Q", file[:8])
    header = file[8 : 8 + length]
    json.loads(header)
    return header
