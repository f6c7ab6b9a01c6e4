"""Readers of model files: one a format, the package's own and those that others register."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import FewflipsError, ModelError
from fewflips.network.contents import Contents
from fewflips.network.graph import Network
from fewflips.network.ranges import ActivationRange, NewRange
from fewflips.network.recoding import NewCodes, Recodable
from fewflips.registry import Registry

ReaderClass = TypeVar("ReaderClass", bound="type[Reader]")

FIRST_BYTES = 64
"""How many bytes of a file a reader may look at to recognize it."""

_OTHERWISE = "onnx"
"""Reads what no reader recognizes: protocol buffers have no identifier."""


class Reader(ABC):
    """Reads model files of one format, and writes them with their channels moved.

    A subclass is registered by :func:`register_reader`, or by an entry point of the group ``fewflips.readers``.

    Attributes
    ----------
    name : str
        The format's name: the `file_format` of the networks that are read, and the suffix of a rewritten file.
    """

    name: ClassVar[str]

    @abstractmethod
    def recognizes(self, path: Path, head: bytes) -> bool:
        """Whether a file is of this format.

        Parameters
        ----------
        path : Path
            The file.
        head : bytes
            Its first bytes, up to `FIRST_BYTES` of them.

        Returns
        -------
        bool
            A reader that is asked later gets no file that one before it recognizes; the package's own come first.
        """

    def recognizes_folder(self, path: Path) -> bool:
        """Whether a folder is a model of this format: not, unless a subclass knows better.

        Parameters
        ----------
        path : Path
            The folder.

        Returns
        -------
        bool
            As of :meth:`recognizes`; :meth:`read` then gets the folder.
        """
        return False

    @abstractmethod
    def read(self, path: Path) -> Network:
        """Read a file.

        Parameters
        ----------
        path : Path
            The file.

        Returns
        -------
        Network
            With `file_format` the reader's name. Without operations it has no channels that could be moved, but its
            layers can be counted and scheduled.

        Raises
        ------
        ModelError
            If the file is damaged, or not of a kind that can be read: what was expected, what was got, what to do.
        """

    def rewrite(
        self, network: Network, permutations: Mapping[str, Mapping[int, NDArray[np.int64]]], destination: Path
    ) -> None:
        """Write a network with its constants permuted.

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
        ModelError
            If this format is only read.
        OutputError
            If the file cannot be written.
        """
        raise self._only_read(network.path)

    def recodable(self, network: Network) -> dict[str, Recodable]:
        """What of each layer can be replaced by :meth:`rewrite_codes`.

        Parameters
        ----------
        network : Network
            The network; its file is read again.

        Returns
        -------
        dict of str to Recodable
            By the layer's name; layers of which nothing can be replaced are left out.

        Raises
        ------
        ModelError
            If this format is only read.
        """
        raise self._only_read(network.path)

    def rewrite_codes(self, network: Network, codes: Mapping[str, NewCodes], destination: Path) -> None:
        """Write a network with other weights and biases, and everything else as it is.

        Parameters
        ----------
        network : Network
            The original; its file is read again.
        codes : mapping of str to NewCodes
            By the layer's name.
        destination : Path
            The file to write, atomically.

        Raises
        ------
        ModelError
            If this format is only read.
        InputError
            If a layer cannot be replaced, or integers do not fit.
        OutputError
            If the file cannot be written.
        """
        raise self._only_read(network.path)

    def rescalable(self, network: Network) -> dict[str, ActivationRange]:
        """Which ranges of activations can be replaced by :meth:`rewrite_ranges`.

        Parameters
        ----------
        network : Network
            The network; its file is read again.

        Returns
        -------
        dict of str to ActivationRange
            By their tensor's name; none unless a subclass knows better.
        """
        return {}

    def rewrite_ranges(self, network: Network, ranges: Mapping[str, NewRange], destination: Path) -> None:
        """Write a network with other ranges of its activations, and everything else as it is.

        Parameters
        ----------
        network : Network
            The original; its file is read again.
        ranges : mapping of str to NewRange
            By the tensor's name.
        destination : Path
            The file to write, atomically.

        Raises
        ------
        ModelError
            If this format is only read.
        InputError
            If a range cannot be replaced, or does not fit.
        OutputError
            If the file cannot be written.
        """
        raise self._only_read(network.path)

    def output_steps(self, network: Network, tensors: Sequence[str] | None = None) -> dict[str, tuple[float, int]]:
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
        return {}

    def read_contents(self, path: Path) -> Contents:
        """Take a file apart, by code that shares nothing with :meth:`rewrite`.

        Parameters
        ----------
        path : Path
            The file.

        Returns
        -------
        Contents
            Its constants and the rest.

        Raises
        ------
        ModelError
            If the file cannot be read, or this format is never taken apart.
        """
        raise self._only_read(path)

    def _only_read(self, path: Path) -> ModelError:
        return ModelError(
            f"{path}: expected a format that can be rewritten, got {self.name}, which is only read; ask for the "
            "schedule alone"
        )


READERS: Registry[Any] = Registry(
    "fewflips.readers",
    {
        "tflite": "fewflips.network.own_readers:TFLiteReader",
        "onnx": "fewflips.network.own_readers:OnnxReader",
        "gguf": "fewflips.network.own_readers:GGUFReader",
        "safetensors": "fewflips.network.own_readers:SafetensorsReader",
    },
)
"""By the format's name, in the order in which they are asked."""


def reader_named(name: str) -> Reader:
    """The reader of a format.

    Parameters
    ----------
    name : str
        The format's name.

    Returns
    -------
    Reader
        The same object each time.

    Raises
    ------
    FewflipsError
        If there is none, the package that announces it cannot be loaded, or gives something else than a reader.
    """
    reader = READERS[name]
    if not isinstance(reader, Reader):
        raise FewflipsError(f"reader {name}: expected a fewflips.network.Reader, got {type(reader).__name__}")
    return reader


def reader_of(path: Path, head: bytes) -> Reader:
    """The first reader that recognizes a file; that of ONNX where none does."""
    for name in READERS.names:
        reader = reader_named(name)
        if reader.recognizes(path, head):
            return reader
    return reader_named(_OTHERWISE)


def reader_of_folder(path: Path) -> Reader | None:
    """The first reader that recognizes a folder, or what is no folder: None where none does."""
    if not os.path.isdir(path):
        return None
    readers = (reader_named(name) for name in READERS.names)
    return next((reader for reader in readers if reader.recognizes_folder(path)), None)


def register_reader(reader: ReaderClass) -> ReaderClass:
    """Make a reader known, as a decorator of its class.

    Parameters
    ----------
    reader : type
        A subclass of Reader; its `name` is the format's.

    Returns
    -------
    type
        The class as it is.

    Raises
    ------
    FewflipsError
        If fewflips itself reads a format of that name.

    Examples
    --------
    >>> @fewflips.register_reader
    ... class Renamed(fewflips.Reader):
    ...     name = "renamed"
    ...
    ...     def recognizes(self, path, head):
    ...         return path.suffix == ".renamed"
    ...
    ...     def read(self, path):
    ...         return fewflips.load("shapes.onnx")
    >>> _ = Path("network.renamed").write_bytes(b"")
    >>> len(fewflips.load("network.renamed").layers)
    5
    """
    return READERS.register(reader.name)(reader)
