"""A network in PyTorch and its export in ONNX Runtime, layer by layer, each from the same integers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from fewflips.training.quantization.quantized_layers import ActivationQuantizer

NEAR = 1e-3
"""Of a step: how near a value lies to the middle between two codes for float sums of another order to round it the
other way. Sums of the tests' networks are exact to a tenth of it."""


@dataclass(frozen=True)
class Comparison:
    """Codes at the inputs of all layers.

    Parameters
    ----------
    values : int
        Compared.
    ties : int
        Of them near the middle between two codes, where either is right.
    differing : int
        Of all others. The value is right where this is 0.
    logits, expected : ndarray of float32, shape (images, classes)
        Outputs of ONNX Runtime and of PyTorch.
    """

    values: int
    ties: int
    differing: int
    logits: np.ndarray
    expected: np.ndarray


def compare_layers(network: nn.Module, proto: onnx.ModelProto, x: Tensor, *, optimized: bool) -> Comparison:
    """Run both, and give each layer in PyTorch the integers that ONNX Runtime has at its input.

    Rounding in one layer then cannot be taken for an error of a later one, and all integers that do not lie between
    two codes have to be equal, whatever processor both run on.
    """
    logits, codes = _run(proto, x, optimized)
    counts = np.zeros(3, dtype=np.int64)
    modules = {name: module for name, module in network.named_modules() if isinstance(module, ActivationQuantizer)}
    tensors = {name: _tensor(name, codes) for name in modules}
    assert set(tensors.values()) == set(codes) - {"flatten.output.codes"}  # which repeats those of the pool
    hooks = [module.register_forward_hook(_follow(codes[tensors[name]], counts)) for name, module in modules.items()]
    try:
        with torch.no_grad():
            expected = network(x).numpy()
    finally:
        for hook in hooks:
            hook.remove()
    values, ties, differing = counts.tolist()
    return Comparison(values, ties, differing, logits, expected)


def assert_same_layers(network: nn.Module, proto: onnx.ModelProto, x: Tensor, *, optimized: bool) -> None:
    """Check that both compute the same integers, ties aside, of which there are few, and the same outputs."""
    found = compare_layers(network, proto, x, optimized=optimized)
    assert found.differing == 0
    assert found.ties < 0.01 * found.values
    np.testing.assert_allclose(found.logits, found.expected, rtol=1e-4, atol=1e-4 * float(np.abs(found.expected).max()))


def _follow(theirs: np.ndarray, counts: np.ndarray):
    def hook(quantizer: ActivationQuantizer, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        step, _, low, high = quantizer.grid
        exact = inputs[0].numpy().astype(np.float64) / step
        ours = np.round(output.numpy().astype(np.float64) / step)
        levels = theirs.astype(np.float64).reshape(ours.shape) + low  # the lowest multiple has code 0
        beyond = (exact < low - 0.5) | (exact > high + 0.5)
        tie = ~beyond & (np.abs(exact - np.floor(exact) - 0.5) < NEAR)
        wrong = np.where(tie, np.abs(levels - exact) > 0.5 + NEAR, levels != ours)
        counts[:] += levels.size, tie.sum(), wrong.sum()
        return torch.from_numpy((levels * step).astype(np.float32))

    return hook


def _tensor(name: str, codes: dict[str, np.ndarray]) -> str:
    known = (name, f"{name}.output", f"{name.removesuffix('.sum')}.add.output")
    return next(f"{tensor}.codes" for tensor in known if f"{tensor}.codes" in codes)


def _run(proto: onnx.ModelProto, x: Tensor, optimized: bool) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    shown = onnx.ModelProto()
    shown.CopyFrom(proto)
    names = [node.output[0] for node in shown.graph.node if node.op_type == "QuantizeLinear"]
    shown.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(shown.SerializeToString(), options, providers=["CPUExecutionProvider"])
    logits, *codes = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    return logits, dict(zip(names, codes, strict=True))
