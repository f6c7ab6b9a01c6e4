"""TFLite and ONNX models."""

from __future__ import annotations

import random
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from tests.network import build_onnx, build_tflite

from ..kinds import Files, MutatedFiles
from ..mutation import flatbuffer, protobuf, raw
from .command import fewflips, measure

TFLITE, ONNX, WEIGHTS = "model.tflite", "model.onnx", "model.onnx.weights"


def tflite(folder: Path) -> MutatedFiles:
    """Single layers of each kind, and a small network of everything that channels travel through."""
    seeds = [*tflite_seeds()]
    small = [seeds[i] for i in (0, 0, 1, 1, 2, 2, 3, 4)] + seeds
    contents = tuple(seeds)

    def change(chance: random.Random, name: str, content: bytes) -> bytes:
        return flatbuffer.change(chance, content, contents)

    return MutatedFiles([{TFLITE: seed} for seed in small], change, lambda inputs: measure(inputs / TFLITE))


def tflite_seeds() -> tuple[bytes, ...]:
    single = build_tflite.single
    return (
        single(build_tflite.CONV, (1, 4, 4, 2), (1, 4, 4, 3), (3, 3, 3, 2)),
        single(build_tflite.DEPTHWISE, (1, 4, 4, 4), (1, 2, 2, 4), (1, 3, 3, 4), stride=2),
        single(build_tflite.DENSE, (1, 16), (1, 4), (4, 16), per_channel=False),
        single(build_tflite.DENSE, (1, 16), (1, 5), (5, 16), weight_type="INT4"),
        single(
            build_tflite.CONV,
            (1, 4, 4, 2),
            (1, 4, 4, 3),
            (3, 1, 1, 2),
            weight_type="UINT8",
            activation_type="UINT8",
            per_channel=False,
        ),
        build_tflite.hybrid(),
        build_tflite.branching(),
        single(build_tflite.DENSE, (1, 16), (1, 4), (4, 16), per_channel=False, activation_type="INT16"),
        build_tflite.keyword(),
    )


def onnx_seeds() -> tuple[onnx.ModelProto, ...]:
    return (
        build_onnx.conv_integer(),
        build_onnx.int4(),
        build_onnx.dynamic_matmul(),
        build_onnx.grouped(),
        build_onnx.qdq(),
        build_onnx.qlinear_chain(),
        branches(),
        build_onnx.NBits(zero_points="packed", shuffled=True, bias=True).model(),
        build_onnx.dynamic_lstm(2),
        build_onnx.quantized_attention(),
    )


def branches() -> onnx.ModelProto:
    """A product, one in each branch of an If, and one in a function of the file's own."""
    build = build_onnx.Builder(7)
    source = build.input("x", TensorProto.UINT8, [2, 6])
    weights, condition = build.constant(build.int8(6, 4), "w"), build.constant(np.bool_(True), "condition")
    first = build.node("MatMulInteger", [source, weights], name="first")
    arms = {}
    for name in ("then_branch", "else_branch"):
        inner = [helper.make_node("MatMulInteger", ["x", "w"], [f"{name}_out"], name=name)]
        result = helper.make_tensor_value_info(f"{name}_out", TensorProto.INT32, [2, 4])
        arms[name] = helper.make_graph(inner, name, [], [result])
    chosen = build.node("If", [condition], name="choice", **arms)
    called = build.node("Product", [source, weights], domain="own", name="call")
    build.output(build.node("Add", [first, build.node("Add", [chosen, called])]), TensorProto.INT32, [2, 4])
    model = build.model()
    model.opset_import.append(helper.make_opsetid("own", 1))
    product = helper.make_node("MatMulInteger", ["a", "b"], ["c"], name="inside")
    opsets = [helper.make_opsetid("", 21)]
    model.functions.append(helper.make_function("own", "Product", ["a", "b"], ["c"], [product], opsets))
    return model


_OFTEN = (0, 0, 0, 1, 1, 1, 2, 2, 3, 4, 5, 6, 6, 7, 7, 8, 9)
"""Small models more often than large ones, which take longer."""


def onnx_(folder: Path) -> MutatedFiles:
    seeds = [model.SerializeToString() for model in onnx_seeds()]
    chosen: list[Files] = [{ONNX: seeds[i]} for i in _OFTEN]
    return MutatedFiles(chosen, partial(change_onnx, tuple(seeds)), lambda inputs: measure(inputs / ONNX))


def onnx_external(folder: Path) -> MutatedFiles:
    """Models whose tensors lie in a second file."""
    seeds: list[Files] = []
    for model in onnx_seeds()[:3]:
        build_onnx.save(model, folder / ONNX, external=True)
        seeds.append({name: (folder / name).read_bytes() for name in (ONNX, WEIGHTS)})
        shutil.rmtree(folder)
        folder.mkdir()
    contents = tuple(seed[ONNX] for seed in seeds)
    return MutatedFiles(seeds, partial(change_onnx, contents), lambda inputs: measure(inputs / ONNX), often=(ONNX,))


def optimized(folder: Path) -> MutatedFiles:
    """The whole way: orders, a drop-in model, the runtimes, files."""
    seeds: list[Files] = [{TFLITE: seed} for seed in tflite_seeds()[:3]]
    seeds += [{ONNX: model.SerializeToString()} for model in (build_onnx.conv_integer(), build_onnx.grouped())]
    contents = tuple(content for seed in seeds for content in seed.values())

    def change(chance: random.Random, name: str, content: bytes) -> bytes:
        if name == ONNX:
            return change_onnx(contents[3:], chance, name, content)
        return flatbuffer.change(chance, content, contents[:3])

    def entry(inputs: Path) -> None:
        model = next(path for path in (inputs / TFLITE, inputs / ONNX) if path.exists())
        fewflips("optimize", model, "--output", inputs / "out", "--jobs", "1", "--json")

    return MutatedFiles(seeds, change, entry)


def change_onnx(others: tuple[bytes, ...], chance: random.Random, name: str, content: bytes) -> bytes:
    """A few fields of the model, or bytes of it or of its weights."""
    if name != ONNX or chance.random() < 0.2:
        return raw.change(chance, content, others)
    model = onnx.ModelProto.FromString(content)
    for _ in range(1 + int(chance.expovariate(0.8))):
        protobuf.change(chance, model)
    return bytes(model.SerializeToString())
