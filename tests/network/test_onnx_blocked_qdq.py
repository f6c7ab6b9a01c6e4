"""QDQ weights of few bits whose blocks have scales and zero points of their own, against plain loops and runtimes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto
from onnx.reference import ReferenceEvaluator

import fewflips
from fewflips.execution.onnx_runtime import OnnxRuntimeSession
from fewflips.formats.number_formats import StorageType
from fewflips.network.layer import Layer
from fewflips.network.onnx import reader as adapter
from fewflips.network.onnx.recoding import recodable
from tests.network.build_onnx import QDQ, save

INT2, UINT2 = 26, 25
TWO_BITS = pytest.mark.skipif(
    not hasattr(TensorProto, "INT2"), reason="this release of onnx writes no integers of 2 bits"
)
TYPES = {
    TensorProto.INT4: StorageType(4, signed=True),
    TensorProto.UINT4: StorageType(4, signed=False),
    INT2: StorageType(2, signed=True),
    UINT2: StorageType(2, signed=False),
}
K, N = 8, 6


@dataclass
class Case:
    """A MatMul, or a 1x1 or 3x3 Conv, whose weights come by a DequantizeLinear."""

    element: int
    axis: int = 0
    block: int = 4
    zero_points: bool = True
    transposed: bool = False
    kernel: int = 0
    opset: int = 21

    @property
    def shape(self) -> tuple[int, ...]:
        if self.kernel:
            return N, K, self.kernel, self.kernel
        return (N, K) if self.transposed else (K, N)

    def __post_init__(self) -> None:
        rng, storage = np.random.default_rng(self.element), TYPES[self.element]
        self.codes = rng.integers(storage.low, storage.high + 1, self.shape)
        blocks = [self.shape[self.axis]]
        if self.block:
            blocks = [-(-length // self.block) if i == self.axis else length for i, length in enumerate(self.shape)]
        self.scales = (rng.integers(1, 64, blocks) / 256).astype(np.float32)
        self.zeros = rng.integers(storage.low, storage.high + 1, blocks) if self.zero_points else np.zeros(blocks, int)

    def values(self) -> NDArray[np.float64]:
        """Weights in the file's own layout, by the definition of DequantizeLinear."""
        result = np.zeros(self.shape)
        for place in np.ndindex(*self.shape):
            if self.block:
                parameter = tuple(i // self.block if axis == self.axis else i for axis, i in enumerate(place))
            else:
                parameter = (place[self.axis],)
            result[place] = (self.codes[place] - self.zeros[parameter]) * self.scales[parameter]
        return result

    def rows(self) -> NDArray[np.float64]:
        values = self.values()
        return values.reshape(N, -1) if self.transposed or self.kernel else values.T

    def model(self) -> onnx.ModelProto:
        build = QDQ(3)
        inputs = [build.packed(self.codes, self.element), build.constant(self.scales)]
        if self.zero_points:
            inputs.append(build.packed(self.zeros, self.element))
        attributes: dict[str, Any] = {"block_size": self.block} if self.block else {}
        weights = build.node("DequantizeLinear", inputs, axis=self.axis, **attributes)
        if self.transposed:
            weights = build.node("Transpose", [weights], perm=[1, 0])
        shape = [1, K, 5, 5] if self.kernel else [2, K]
        source = build.activation(build.input("x", TensorProto.FLOAT, shape))
        product = build.node("Conv" if self.kernel else "MatMul", [source, weights], name="product")
        build.output(product, TensorProto.FLOAT)
        return build.model(self.opset)


CASES = [
    Case(TensorProto.INT4, zero_points=False),
    Case(TensorProto.UINT4),
    Case(TensorProto.INT4, block=2),
    Case(TensorProto.UINT4, axis=1, block=3),
    Case(TensorProto.UINT4, axis=1, transposed=True),
    Case(TensorProto.UINT4, axis=1, block=0),
    Case(TensorProto.UINT4, axis=0, block=0),
    Case(TensorProto.UINT4, axis=1, kernel=1),
    Case(TensorProto.INT4, axis=1, kernel=3),
    pytest.param(Case(INT2, opset=25), marks=TWO_BITS),
    pytest.param(Case(UINT2, opset=25), marks=TWO_BITS),
]


def case_name(case: Case) -> str:
    return f"{TYPES[case.element].name}-{case.axis}-{case.block}-{case.transposed}-{case.kernel}"


def real_weights(layer: Layer) -> NDArray[np.float64]:
    assert layer.right.scales is not None
    steps = layer.weights.astype(np.float64) - layer.right.element_zero_points()
    return steps * layer.right.scales.elements((layer.n, layer.k)).astype(np.float64)


@pytest.mark.parametrize("case", CASES, ids=case_name)
def test_weights_are_those_of_the_definition(case: Case, tmp_path: Path) -> None:
    (layer,) = adapter.read(save(case.model(), tmp_path / "m.onnx")).layers
    assert layer.weight_type == TYPES[case.element]
    assert np.array_equal(real_weights(layer), case.rows())


@pytest.mark.parametrize("case", CASES, ids=case_name)
def test_runtimes_compute_the_product_with_these_weights(case: Case, tmp_path: Path) -> None:
    path = save(case.model(), tmp_path / "m.onnx")
    network = adapter.read(path)
    (layer,), (output,) = network.layers, network.outputs
    shape = (1, K, 5, 5) if case.kernel else (2, K)
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    assert layer.input_tensor is not None
    assert layer.activation_zero_point is not None
    session = OnnxRuntimeSession(str(path), [layer.input_tensor]) if TYPES[case.element].bits == 4 else None
    if session is None:
        (got,) = ReferenceEvaluator(str(path)).run(None, {"x": x})
        codes = np.clip(np.rint(x / np.float32(0.05)) + 3, -128, 127).astype(np.int8)
    else:
        found = session.run({"x": x}, [layer.input_tensor, output])
        got, codes = found[output], found[layer.input_tensor]
    rows = layer.lowering.rows(codes, 1, layer.activation_zero_point)[0].astype(np.float64)
    expected = (rows - layer.activation_zero_point) * 0.05 @ real_weights(layer).T
    flat = np.moveaxis(got, 1, -1).reshape(expected.shape) if case.kernel else got
    assert np.abs(flat - expected).max() < 1e-3


def test_a_schedule_is_made_and_checked(tmp_path: Path) -> None:
    network = fewflips.load(save(Case(TensorProto.UINT4).model(), tmp_path / "m.onnx"))
    report = fewflips.optimize(network, "edge16", mode="schedule").report
    assert report.schedule is not None
    assert "the sum of each block was compared" in report.schedule.check.method


def test_weights_with_zero_points_by_block_are_not_replaced(tmp_path: Path) -> None:
    one, many = Case(TensorProto.INT4, zero_points=False), Case(TensorProto.INT4)
    assert set(recodable(adapter.read(save(one.model(), tmp_path / "one.onnx")))) == {"product"}
    assert not recodable(adapter.read(save(many.model(), tmp_path / "many.onnx")))
