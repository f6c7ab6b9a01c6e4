"""Runs TFLite files in LiteRT.

Sessions run inside a worker process: see :mod:`fewflips.execution.runtimes`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from fewflips.errors import InputError, RuntimeFailure
from fewflips.execution.sessions import InputSpec, check_feeds
from fewflips.network.tflite.reader import misread_by_litert, read, tensor_indices


class LiteRTSession:
    """A TFLite file, loaded by LiteRT.

    LiteRT's own integer kernels are used, without delegates: a delegate fuses operators and hides their intermediate
    tensors.

    Parameters
    ----------
    path : str
        The file.
    fetch : sequence of str
        Tensors that runs will ask for. Intermediate ones make LiteRT keep every tensor of the network, which
        takes more memory.

    Attributes
    ----------
    inputs : tuple of InputSpec
        The model's inputs.
    outputs : tuple of str
        Names of its outputs.

    Raises
    ------
    RuntimeFailure
        If the file contains an operator that LiteRT would mistake for another variant, and read beyond its tensors.
    """

    def __init__(self, path: str, fetch: Sequence[str] = ()) -> None:
        self._path = path
        fault = misread_by_litert(Path(path))
        if fault:
            raise RuntimeFailure(f"LiteRT failed on {path}: {fault}", Path(path))
        self._indices = tensor_indices(Path(path))
        self._names = {index: name for name, index in self._indices.items()}
        self._keeps_all = False
        self._load()
        if self._needs_all(fetch):
            self._load()

    def run(self, feeds: Mapping[str, NDArray[Any]], fetch: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Run one inference.

        Parameters
        ----------
        feeds : mapping of str to ndarray
            A value for each input, of the shape and type in `inputs`.
        fetch : sequence of str
            Tensors to return.

        Returns
        -------
        dict of str to ndarray
            A copy of each tensor in `fetch`.

        Raises
        ------
        InputError
            If an input is missing or does not fit, or a tensor is unknown.
        """
        check_feeds(Path(self._path), self.inputs, feeds)
        if self._needs_all(fetch):
            self._load()
        for spec in self.inputs:
            self._interpreter.set_tensor(self._indices[spec.name], np.ascontiguousarray(feeds[spec.name]))
        self._interpreter.invoke()
        return {name: self._interpreter.get_tensor(self._indices[name]) for name in fetch}

    def _load(self) -> None:
        self._interpreter = Interpreter(
            model_path=self._path,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            experimental_preserve_all_tensors=self._keeps_all,
            num_threads=1,
        )
        self._interpreter.allocate_tensors()
        self.inputs = tuple(self._spec(details) for details in self._interpreter.get_input_details())
        self.outputs = tuple(self._names[details["index"]] for details in self._interpreter.get_output_details())

    def _spec(self, details: Mapping[str, Any]) -> InputSpec:
        parameters = details["quantization_parameters"]
        quantized = len(parameters["scales"]) == 1
        return InputSpec(
            name=self._names[details["index"]],
            shape=tuple(int(length) for length in details["shape"]),
            dtype=np.dtype(details["dtype"]),
            scale=float(parameters["scales"][0]) if quantized else None,
            zero_point=int(parameters["zero_points"][0]) if quantized else None,
        )

    def _needs_all(self, fetch: Sequence[str]) -> bool:
        """Whether LiteRT has to be reloaded to keep the tensors in `fetch`."""
        unknown = [name for name in fetch if name not in self._indices]
        if unknown:
            raise InputError(f"{self._path}: expected names of tensors of the network, got '{unknown[0]}'")
        kept = {*self.outputs, *(spec.name for spec in self.inputs)}
        if self._keeps_all or kept.issuperset(fetch):
            return False
        self._keeps_all = True
        return True


def executes_in_integers(path: str) -> bool:
    """Whether LiteRT computes every quantized product of a model in integers.

    It does if weights and activations are integers in the file; layers with float activations (dynamic-range
    quantization) are rescaled in float.

    Parameters
    ----------
    path : str
        The file.
    """
    return all(layer.activation_type is not None for layer in read(Path(path)).layers)
