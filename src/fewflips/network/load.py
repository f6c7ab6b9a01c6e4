"""Read and rewrite a model in whichever format it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import ModelError
from fewflips.files.input_files import open_plain
from fewflips.files.result_folder import check_belongs
from fewflips.network.contents import Contents
from fewflips.network.graph import Network

_TFLITE_IDENTIFIER = b"TFL3"


def load(path: str | Path) -> Network:
    """Read a quantized TFLite or ONNX model.

    Parameters
    ----------
    path : str or Path
        The file. TFLite is recognised by its identifier, whatever the file is called; everything else is
        read as ONNX.

    Returns
    -------
    Network
        Layers and graph.

    Raises
    ------
    ModelError
        If the file is missing, damaged, or not of a kind that can be read.
    FloatModelError
        If the model is not quantized.
    InputError
        If the file lies among results of fewflips, and is not the one that was written with them.
    """
    path = Path(path)
    check_belongs(path)
    try:
        with open_plain(path) as file:
            head = file.read(8)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    if head[4:8] == _TFLITE_IDENTIFIER:
        from fewflips.network.tflite import reader as tflite

        return tflite.read(path)
    if path.suffix == ".tflite":
        raise ModelError(f"{path}: expected a TFLite file (identifier TFL3 at byte 4), got {head[4:8]!r}")
    from fewflips.network.onnx import reader as onnx

    return onnx.read(path)


def rewrite(network: Network, permutations: Mapping[str, Mapping[int, NDArray[np.int64]]], destination: Path) -> None:
    """Write a network with its constants permuted, in the format in which it was read.

    Parameters
    ----------
    network : Network
        The original; its file is read again.
    permutations : mapping of str to mapping of int to ndarray of int64
        For each constant and axis, the old index at each new one.
    destination : Path
        The file to write, atomically.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    if network.file_format == "tflite":
        from fewflips.network.tflite import reader as tflite

        tflite.rewrite(network, permutations, destination)
    else:
        from fewflips.network.onnx import reader as onnx

        onnx.rewrite(network, permutations, destination)


def read_contents(path: Path, file_format: Literal["tflite", "onnx"]) -> Contents:
    """Take a file apart.

    Parameters
    ----------
    path : Path
        The file.
    file_format : {"tflite", "onnx"}
        Its format.

    Returns
    -------
    Contents
        Its constants and the rest.

    Raises
    ------
    ModelError
        If the file cannot be read.
    """
    if file_format == "tflite":
        from fewflips.network.tflite import contents as tflite_contents

        return tflite_contents.read_contents(path)
    from fewflips.network.onnx import contents as onnx_contents

    return onnx_contents.read_contents(path)
