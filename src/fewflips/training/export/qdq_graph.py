"""An ONNX graph in QDQ form, built node by node."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from fewflips.errors import InputError
from fewflips.training.quantization.quantized_layers import ActivationQuantizer, QuantizedWeight

INT4_BITS = 4
"""Weights of at most this many bits are stored two to a byte."""

_LARGEST_BIAS = 2**30
"""Largest bias code: half the range of 32 bits, to leave room for sums of products."""


class QdqGraph:
    """Nodes and initializers of a quantized network.

    Attributes
    ----------
    nodes : list of NodeProto
        In execution order.
    initializers : list of TensorProto
        Codes, scales and zero points.
    """

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def node(self, operator: str, inputs: list[str], name: str, output: str, **attributes: Any) -> str:
        """Append a node with one output, and return that output's name."""
        self.nodes.append(helper.make_node(operator, inputs, [output], name, **attributes))
        return output

    def activation(self, tensor: str, name: str, quantizer: ActivationQuantizer) -> str:
        """QuantizeLinear and DequantizeLinear after a tensor.

        Parameters
        ----------
        tensor, name : str
            What to quantize; prefix of the new names.
        quantizer : ActivationQuantizer
            The quantizer with the range.

        Returns
        -------
        str
            Name of the dequantized tensor.
        """
        scale, zero_point = quantizer.scale_and_zero_point()
        parameters = [
            self._constant(f"{name}.scale", scale.cpu().numpy().astype(np.float32)),
            self._constant(f"{name}.zero_point", zero_point.cpu().numpy().astype(np.uint8)),
        ]
        codes = self.node("QuantizeLinear", [tensor, *parameters], f"{name}.quantize", f"{name}.codes")
        return self.node("DequantizeLinear", [codes, *parameters], f"{name}.dequantize", f"{name}.values")

    def weight_and_bias(self, name: str, layer: QuantizedWeight) -> list[str]:
        """Integer weight and int32 bias of a layer; the scale of the bias is input scale * weight scale.

        Weights of up to 4 bits are stored as INT4, others as INT8.

        Parameters
        ----------
        name : str
            Prefix of the new names.
        layer : QuantizedWeight
            The layer, connected to the quantizer of its input.

        Returns
        -------
        list of str
            Names of the dequantized weight and of the dequantized bias.

        Raises
        ------
        InputError
            If a bias is not finite, or has more than 31 bits.
        """
        assert layer.input_scale is not None
        codes = layer.integer_codes().cpu().numpy()
        scale = layer.weight_scale.detach().cpu().numpy()
        bias = layer.bias.detach().cpu().numpy()
        scale = _with_room_for_bias(codes, scale, bias, layer.input_scale)
        bias_scale = scale * np.float32(layer.input_scale)
        bias_codes = np.rint(bias / bias_scale)
        if not (np.abs(bias_codes) <= _LARGEST_BIAS).all():
            channel = int(np.argmin(np.abs(bias_codes) <= _LARGEST_BIAS))
            raise InputError(
                f"layer '{name}' of shape {list(codes.shape)}: expected biases of at most 31 bits, got "
                f"{bias[channel]:g} in steps of {bias_scale[channel]:g} in output channel {channel}; train it with a "
                "lower learning rate"
            )
        stored = codes.astype(ml_dtypes.int4) if layer.bits <= INT4_BITS else codes
        return [
            self._parameter(f"{name}.weight", stored, scale),
            self._parameter(f"{name}.bias", bias_codes.astype(np.int32), bias_scale),
        ]

    def _parameter(self, name: str, codes: NDArray[Any], scale: NDArray[np.float32]) -> str:
        """An integer constant and its DequantizeLinear, one scale per output channel."""
        inputs = [
            self._constant(f"{name}.codes", codes),
            self._constant(f"{name}.scale", scale.astype(np.float32)),
            self._constant(f"{name}.zero_point", np.zeros(scale.shape, codes.dtype)),
        ]
        return self.node("DequantizeLinear", inputs, f"{name}.dequantize", f"{name}.values", axis=0)

    def _constant(self, name: str, values: NDArray[Any]) -> str:
        self.initializers.append(numpy_helper.from_array(np.asarray(values), name))
        return name


def _with_room_for_bias(
    codes: NDArray[np.int8], scale: NDArray[np.float32], bias: NDArray[np.float32], input_scale: float
) -> NDArray[np.float32]:
    """Scales, enlarged for channels with only zero weights whose scale is too small for their bias."""
    empty = ~codes.reshape(len(codes), -1).any(1)
    needed = np.abs(bias) / (input_scale * _LARGEST_BIAS / 2)
    return np.where(empty & (needed > scale), needed, scale).astype(np.float32)
