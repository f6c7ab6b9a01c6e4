"""The replay of a network in whichever format it is."""

from __future__ import annotations

from fewflips.errors import InputError
from fewflips.network.graph import Network
from fewflips.training.distillation.program import Program


def program_of(network: Network) -> Program:
    """A network on batches in PyTorch.

    Parameters
    ----------
    network : Network
        The network; its file is read again.

    Returns
    -------
    Program
        Its outputs are those of the runtime, up to a step of rounding here and there.

    Raises
    ------
    InputError
        If an operator, or the format, is not known.
    """
    if network.file_format == "tflite":
        from fewflips.training.distillation.tflite_program import tflite_program

        return tflite_program(network)
    if network.file_format == "onnx":
        from fewflips.training.distillation.onnx_program import onnx_program

        return onnx_program(network)
    raise InputError(
        f"step distill: expected a TFLite or ONNX file, which PyTorch can replay, got {network.file_format}; leave the "
        "step out"
    )
