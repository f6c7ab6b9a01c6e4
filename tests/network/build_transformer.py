"""Small transformers as ONNX models, with integer weights and float activations, for the tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.network.build_onnx import CONTRIB, Builder

TOKENS = 3


class Transformer(Builder):
    """Builds blocks of attention and feed-forward parts on activations of shape (1, TOKENS, width)."""

    def embedded(self, width: int, rows: int = 7) -> str:
        """Rows of a table of integers."""
        ids = self.input("ids", TensorProto.INT64, (1, TOKENS))
        table = self.node("DequantizeLinear", [self.constant(self.int8(rows, width)), self.constant(np.float32(0.01))])
        return self.node("Gather", [table, ids], axis=0)

    def embedded_in_blocks(self, width: int, rows: int = 7, block: int = 16) -> str:
        """Rows of a table of 4 bits, with a scale for each block of a row."""
        ids = self.input("ids", TensorProto.INT64, (1, TOKENS))
        table = self.packed(self.rng.integers(0, 16, (rows, width)), TensorProto.UINT4, "table")
        scales = self.constant(10 * self.scales(rows, width // block), "table.scales")
        sizes = {"gather_axis": 0, "quantize_axis": 1, "block_size": block}
        return self.node("GatherBlockQuantized", [table, ids, scales], CONTRIB, **sizes)

    def linear(self, source: str, inputs: int, outputs: int, name: str = "") -> str:
        codes = self.constant(self.int8(inputs, outputs), f"{name}.w" if name else "")
        zeros = self.constant(np.zeros(outputs, np.int8))
        weights = self.node("DequantizeLinear", [codes, self.constant(self.scales(outputs)), zeros], axis=1)
        bias = self.rng.integers(-900, 900, outputs).astype(np.int32)
        offset = self.node("DequantizeLinear", [self.constant(bias), self.constant(np.float32(0.001))])
        return self.node("Add", [offset, self.node("MatMul", [source, weights], name=name)])

    def dynamic(self, source: str, inputs: int, outputs: int, name: str = "") -> str:
        """A product of integers whose activations get their scale as they come, as quantize_dynamic writes it."""
        codes, scale, zero = (self._name(part) for part in ("codes", "scale", "zero"))
        self.nodes.append(helper.make_node("DynamicQuantizeLinear", [source], [codes, scale, zero]))
        weights = self.constant(self.int8(inputs, outputs), f"{name}.w" if name else "")
        product = self.node("MatMulInteger", [codes, weights, zero, self.constant(np.zeros(outputs, np.int8))])
        product = self.node("Cast", [product], to=TensorProto.FLOAT)
        product = self.node("Mul", [product, self.node("Mul", [scale, self.constant(self.scales(outputs))])])
        return self.node("Add", [product, self.constant(self.rng.normal(size=outputs).astype(np.float32))])

    def in_blocks(self, source: str, inputs: int, outputs: int, name: str, block: int = 16) -> str:
        """A product of weights with 4 bits in blocks along their inputs."""
        blocks = inputs // block
        codes = self.constant(self.uint8(outputs, blocks, block // 2), f"{name}.w")
        scales = self.constant(self.scales(outputs, blocks), f"{name}.scales")
        sizes = {"K": inputs, "N": outputs, "bits": 4, "block_size": block}
        product = self.node("MatMulNBits", [source, codes, scales], CONTRIB, name=name, **sizes)
        return self.node("Add", [product, self.constant(self.rng.normal(size=outputs).astype(np.float32))])

    def heads(self, source: str, count: int, each: int, order: tuple[int, ...] = (0, 2, 1, 3)) -> str:
        shape = self.constant(np.array([1, TOKENS, count, each], np.int64))
        return self.node("Transpose", [self.node("Reshape", [source, shape])], perm=order)

    def attended(self, queries: str, keys: str, values: str, count: int, each: int, *, by_head: bool = False) -> str:
        """Scaled scores, a mask, mixtures of values, heads joined."""
        scores = self.node("MatMul", [self.heads(queries, count, each), self.heads(keys, count, each, (0, 2, 3, 1))])
        scores = self.node("Div", [scores, self.constant(np.float32(each**0.5))])
        shape = (1, count if by_head else 1, 1, TOKENS)
        mask = self.constant(self.rng.normal(size=shape).astype(np.float32), "mask")
        shares = self.node("Softmax", [self.node("Add", [scores, mask])], axis=-1)
        mixed = self.node("MatMul", [shares, self.heads(values, count, each)])
        joined = self.constant(np.array([1, TOKENS, count * each], np.int64))
        return self.node("Reshape", [self.node("Transpose", [mixed], perm=(0, 2, 1, 3)), joined])

    def normalized(self, source: str, width: int) -> str:
        return self.node("LayerNormalization", [source, *self._factors(width)], axis=-1)

    def normalized_in_steps(self, source: str, width: int) -> str:
        """The same from means, differences and a square root."""
        mean = self.node("ReduceMean", [source, self.constant(np.array([-1], np.int64))], keepdims=1)
        apart = self.node("Sub", [source, mean])
        square = self.node("Pow", [apart, self.constant(np.float32(2))])
        spread = self.node("ReduceMean", [square, self.constant(np.array([-1], np.int64))], keepdims=1)
        root = self.node("Sqrt", [self.node("Add", [spread, self.constant(np.float32(1e-6))])])
        factor, offset = self._factors(width)
        return self.node("Add", [self.node("Mul", [self.node("Div", [apart, root]), factor]), offset])

    def added_and_normalized(self, source: str, other: str, width: int) -> str:
        return self.node("SkipLayerNormalization", [source, other, *self._factors(width)], CONTRIB)

    def gelu(self, source: str) -> str:
        curve = self.node("Erf", [self.node("Div", [source, self.constant(np.float32(2**0.5))])])
        return self.node("Mul", [source, self.node("Add", [curve, self.constant(np.float32(1))])])

    def gated(self, gate: str, up: str) -> str:
        return self.node("Mul", [self.node("Mul", [gate, self.node("Sigmoid", [gate])]), up])

    def _factors(self, width: int) -> list[str]:
        return [self.constant(self.rng.normal(size=width).astype(np.float32)) for _ in range(2)]

    def finished(self, source: str, **more: Any) -> onnx.ModelProto:
        self.nodes.append(helper.make_node("Identity", [source], ["y"]))
        self.output("y", TensorProto.FLOAT)
        return self.model(**more)


def block(style: str = "fused", width: int = 6, heads: int = 3, each: int = 2, hidden: int = 5) -> onnx.ModelProto:
    """An embedding, a block of attention and feed-forward, and an output head.

    `style` is "fused" or "in steps" (normalization), "skip" (with the residual addition), "gated" (feed-forward), or
    "dynamic" (scales of activations).
    """
    build = Transformer()
    linear = build.dynamic if style == "dynamic" else build.linear
    normalized = build.normalized_in_steps if style == "in steps" else build.normalized
    inner = heads * each
    x = build.embedded(width)
    queries, keys, values = (linear(x, width, inner, name) for name in ("q", "k", "v"))
    attended = linear(build.attended(queries, keys, values, heads, each), inner, width, "o")
    if style == "skip":
        x = build.added_and_normalized(attended, x, width)
    else:
        x = normalized(build.node("Add", [attended, x]), width)
    up = linear(x, width, hidden, "up")
    active = build.gated(linear(x, width, hidden, "gate"), up) if style == "gated" else build.gelu(up)
    x = normalized(build.node("Add", [x, linear(active, hidden, width, "down")]), width)
    return build.finished(linear(x, width, 4, "head"))


def attention(width: int = 3, heads: int = 2, each: int = 2, *, by_head: bool = False) -> onnx.ModelProto:
    """Attention alone, between an input and an output that stay as they are."""
    build = Transformer(seed=1)
    x = build.input("x", TensorProto.FLOAT, (1, TOKENS, width))
    inner = heads * each
    queries, keys, values = (build.linear(x, width, inner, name) for name in ("q", "k", "v"))
    joined = build.attended(queries, keys, values, heads, each, by_head=by_head)
    return build.finished(build.linear(joined, inner, width, "o"))


def block_of_4_bits(width: int = 32, heads: int = 2, each: int = 32, hidden: int = 48) -> onnx.ModelProto:
    """The same with products of 4 bits, whose scales belong to blocks of 16 inputs."""
    build = Transformer(seed=2)
    x, inner = build.embedded_in_blocks(width), heads * each
    queries, keys, values = (build.in_blocks(x, width, inner, name) for name in ("q", "k", "v"))
    attended = build.in_blocks(build.attended(queries, keys, values, heads, each), inner, width, "o")
    x = build.normalized(build.node("Add", [attended, x]), width)
    active = build.gelu(build.in_blocks(x, width, hidden, "up"))
    x = build.normalized(build.node("Add", [x, build.in_blocks(active, hidden, width, "down")]), width)
    return build.finished(build.in_blocks(x, width, 4, "head"))
