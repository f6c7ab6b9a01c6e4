"""What a network gives to its softmax: there an error is not hidden, nor one close decision most of it."""

from __future__ import annotations

from fewflips.errors import InputError
from fewflips.network import Network

_SOFTMAX = ("SOFTMAX", "QLINEARSOFTMAX")
_SAME_VALUES = ("QUANTIZE", "DEQUANTIZE", "QUANTIZELINEAR", "DEQUANTIZELINEAR", "RESHAPE", "SQUEEZE", "FLATTEN")


def logit_tensors(network: Network) -> tuple[str, ...]:
    """The tensors that a softmax at the network's end reads, those of its outputs that have none themselves.

    Parameters
    ----------
    network : Network
        A network with a graph.

    Returns
    -------
    tuple of str
        Each name once, in the order of the outputs.

    Raises
    ------
    InputError
        If no output comes from a softmax.
    """
    found = tuple(_before_softmax(network, output) for output in network.outputs)
    if not any(found):
        raise InputError(
            f"{network.path}: error budget in logits: expected a network that ends in a softmax, got outputs of other "
            "operators: take sqnr:<decibels>dB, which is that of the outputs themselves"
        )
    return tuple(dict.fromkeys(name or output for name, output in zip(found, network.outputs, strict=True)))


def _before_softmax(network: Network, output: str) -> str | None:
    producers = {name: operation for operation in network.operations for name in operation.outputs}
    name = output
    while name in producers:
        operation = producers.pop(name)
        kind = operation.operator.upper()
        if kind in _SOFTMAX:
            return operation.inputs[0]
        if kind not in _SAME_VALUES:
            return None
        name = operation.inputs[0]
    return None
