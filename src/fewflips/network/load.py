"""Read and rewrite a model in whichever format it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import ModelError
from fewflips.files.input_files import open_plain
from fewflips.files.result_folder import check_belongs
from fewflips.network.contents import Contents
from fewflips.network.graph import Network
from fewflips.network.ranges import ActivationRange, NewRange
from fewflips.network.reading import FIRST_BYTES, reader_named, reader_of, reader_of_folder
from fewflips.network.recoding import NewCodes, Recodable
from fewflips.network.tokens import with_tokens


def load(path: str | Path, *, tokens: int | None = None) -> Network:
    """Read a quantized model: TFLite, ONNX, GGUF, a folder of safetensors, or a format that another package reads.

    Parameters
    ----------
    path : str or Path
        The file. TFLite and GGUF are recognised by their identifiers, whatever the file is called; what no registered
        reader recognizes is read as ONNX. A Hugging Face model is a folder, or its index or one of its files.
    tokens : int, optional
        Tokens that are processed at once, for files without a graph (GGUF, safetensors): 1, as in decoding, by default.

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
        If the file lies among results of fewflips, and is not the one that was written with them; or if a number of
        tokens is given for a file whose shapes say it.

    Examples
    --------
    >>> network = fewflips.load("shapes.onnx")
    >>> [(layer.name, layer.n, layer.k) for layer in network.layers][:2]
    [('stem', 16, 9), ('expand', 32, 16)]
    """
    network = _read(Path(path))
    return network if tokens is None else with_tokens(network, tokens)


def _read(path: Path) -> Network:
    check_belongs(path)
    try:
        with open_plain(path) as file:
            head = file.read(FIRST_BYTES)
    except OSError as error:
        reader = reader_of_folder(path)
        if reader is None:
            raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
        return reader.read(path)
    return reader_of(path, head).read(path)


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
    ModelError
        If this format is only read.
    """
    reader_named(network.file_format).rewrite(network, permutations, destination)


def recodable(network: Network) -> dict[str, Recodable]:
    """What of each layer can be replaced by :func:`rewrite_codes`.

    Parameters
    ----------
    network : Network
        The network; its file is read again.

    Returns
    -------
    dict of str to Recodable
        By the layer's name; layers of which nothing can be replaced are left out: those that share their weights
        with others, for one.

    Raises
    ------
    ModelError
        If this format is only read.
    InputError
        If the file has changed since it was read.
    """
    return reader_named(network.file_format).recodable(network)


def rewrite_codes(network: Network, codes: Mapping[str, NewCodes], destination: Path) -> None:
    """Write a network with other weights and biases, in the format in which it was read.

    Parameters
    ----------
    network : Network
        The original; its file is read again.
    codes : mapping of str to NewCodes
        By the layer's name; layers that are not named, and everything else in the file, stay as they are.
    destination : Path
        The file to write, atomically.

    Raises
    ------
    OutputError
        If the file cannot be written.
    ModelError
        If this format is only read.
    InputError
        If a layer cannot be replaced, or integers do not fit.
    """
    reader_named(network.file_format).rewrite_codes(network, codes, destination)


def rescalable(network: Network) -> dict[str, ActivationRange]:
    """Which ranges of activations can be replaced by :func:`rewrite_ranges`.

    Parameters
    ----------
    network : Network
        The network; its file is read again.

    Returns
    -------
    dict of str to ActivationRange
        By their tensor's name: those of 8-bit tensors between layers and sums that belong to one tensor alone.

    Raises
    ------
    InputError
        If the file has changed since it was read.
    """
    return reader_named(network.file_format).rescalable(network)


def rewrite_ranges(network: Network, ranges: Mapping[str, NewRange], destination: Path) -> None:
    """Write a network with other ranges of its activations, in the format in which it was read.

    Parameters
    ----------
    network : Network
        The original; its file is read again.
    ranges : mapping of str to NewRange
        By the tensor's name; other ranges stay, and so does everything else but the biases of layers that read
        these tensors, which count their steps.
    destination : Path
        The file to write, atomically.

    Raises
    ------
    OutputError
        If the file cannot be written.
    ModelError
        If this format is only read.
    InputError
        If a range cannot be replaced, or does not fit.
    """
    reader_named(network.file_format).rewrite_ranges(network, ranges, destination)


def output_steps(network: Network, tensors: Sequence[str] | None = None) -> dict[str, tuple[float, int]]:
    """Scale and zero point of each output, or of other tensors, that is integers in the file.

    Parameters
    ----------
    network : Network
        The network; its file is read again.
    tensors : sequence of str, optional
        Names of the tensors; the network's outputs by default.

    Returns
    -------
    dict of str to (float, int)
        By the output's name; those of which they are not known are left out.
    """
    return reader_named(network.file_format).output_steps(network, tensors)


def read_contents(path: Path, file_format: str) -> Contents:
    """Take a file apart.

    Parameters
    ----------
    path : Path
        The file.
    file_format : str
        The name of its reader.

    Returns
    -------
    Contents
        Its constants and the rest.

    Raises
    ------
    ModelError
        If the file cannot be read.
    """
    return reader_named(file_format).read_contents(path)
