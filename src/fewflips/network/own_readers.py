"""The readers that come with the package; each loads its format's modules when it reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import ModelError
from fewflips.network.contents import Contents
from fewflips.network.graph import Network
from fewflips.network.ranges import ActivationRange, NewRange
from fewflips.network.reading import Reader
from fewflips.network.recoding import NewCodes, Recodable

_TFLITE_IDENTIFIER = b"TFL3"
_GGUF_MAGIC = b"GGUF"


class TFLiteReader(Reader):
    """TensorFlow Lite: known by its identifier, whatever the file is called."""

    name = "tflite"

    def recognizes(self, path: Path, head: bytes) -> bool:
        """By the identifier.

        Raises
        ------
        ModelError
            If the file is called ``.tflite`` and has none.
        """
        found = head[4:8]
        if found != _TFLITE_IDENTIFIER and path.suffix == ".tflite":
            raise ModelError(f"{path}: expected a TFLite file (identifier TFL3 at byte 4), got {found!r}")
        return found == _TFLITE_IDENTIFIER

    def read(self, path: Path) -> Network:
        """Read a file."""
        from fewflips.network.tflite import reader

        return reader.read(path)

    def rewrite(
        self, network: Network, permutations: Mapping[str, Mapping[int, NDArray[np.int64]]], destination: Path
    ) -> None:
        """Write a network with its constants permuted, in place."""
        from fewflips.network.tflite import reader

        reader.rewrite(network, permutations, destination)

    def recodable(self, network: Network) -> dict[str, Recodable]:
        """Weights and biases that belong to one layer alone."""
        from fewflips.network.tflite import recoding

        return recoding.recodable(network)

    def rewrite_codes(self, network: Network, codes: Mapping[str, NewCodes], destination: Path) -> None:
        """Write a network with other weights and biases."""
        from fewflips.network.tflite import recoding

        recoding.rewrite_codes(network, codes, destination)

    def rescalable(self, network: Network) -> dict[str, ActivationRange]:
        """Ranges that belong to one tensor alone."""
        from fewflips.network.tflite import ranges

        return ranges.rescalable(network)

    def rewrite_ranges(self, network: Network, ranges: Mapping[str, NewRange], destination: Path) -> None:
        """Write a network with other ranges of its activations."""
        from fewflips.network.tflite import ranges as writer

        writer.rewrite_ranges(network, ranges, destination)

    def output_steps(self, network: Network, tensors: Sequence[str] | None = None) -> dict[str, tuple[float, int]]:
        """As the outputs' own quantization parameters say."""
        from fewflips.network.tflite import recoding

        return recoding.output_steps(network, tensors)

    def read_contents(self, path: Path) -> Contents:
        """Take a file apart."""
        from fewflips.network.tflite import contents

        return contents.read_contents(path)


class OnnxReader(Reader):
    """ONNX: known by the file's name; also what no other reader recognizes."""

    name = "onnx"

    def recognizes(self, path: Path, head: bytes) -> bool:
        """By the suffix."""
        return path.suffix == ".onnx"

    def read(self, path: Path) -> Network:
        """Read a file."""
        from fewflips.network.onnx import reader

        return reader.read(path)

    def rewrite(
        self, network: Network, permutations: Mapping[str, Mapping[int, NDArray[np.int64]]], destination: Path
    ) -> None:
        """Write a network with its constants permuted; everything else of the graph stays."""
        from fewflips.network.onnx import reader

        reader.rewrite(network, permutations, destination)

    def recodable(self, network: Network) -> dict[str, Recodable]:
        """Weights and biases that belong to one layer alone."""
        from fewflips.network.onnx import recoding

        return recoding.recodable(network)

    def rewrite_codes(self, network: Network, codes: Mapping[str, NewCodes], destination: Path) -> None:
        """Write a network with other weights and biases."""
        from fewflips.network.onnx import recoding

        recoding.rewrite_codes(network, codes, destination)

    def rescalable(self, network: Network) -> dict[str, ActivationRange]:
        """Ranges that belong to one tensor alone."""
        from fewflips.network.onnx import ranges

        return ranges.rescalable(network)

    def rewrite_ranges(self, network: Network, ranges: Mapping[str, NewRange], destination: Path) -> None:
        """Write a network with other ranges of its activations."""
        from fewflips.network.onnx import ranges as writer

        writer.rewrite_ranges(network, ranges, destination)

    def read_contents(self, path: Path) -> Contents:
        """Take a file apart."""
        from fewflips.network.onnx import contents

        return contents.read_contents(path)


class GGUFReader(Reader):
    """GGUF, of llama.cpp and other runtimes of ggml: known by its magic number; needs the extra ``gguf``."""

    name = "gguf"

    def recognizes(self, path: Path, head: bytes) -> bool:
        """By the magic number.

        Raises
        ------
        ModelError
            If the file is called ``.gguf`` and has none.
        """
        if not head.startswith(_GGUF_MAGIC) and path.suffix == ".gguf":
            raise ModelError(f"{path}: expected a GGUF file, which begins with GGUF, got {head[:4]!r}")
        return head.startswith(_GGUF_MAGIC)

    def read(self, path: Path) -> Network:
        """Read a file."""
        from fewflips.network.gguf import reader

        return reader.read(path)


class SafetensorsReader(Reader):
    """Folders of Hugging Face models, and their files; needs the extra ``safetensors``."""

    name = "safetensors"

    def recognizes(self, path: Path, head: bytes) -> bool:
        """By the name of a file."""
        return path.name.endswith((".safetensors", ".safetensors.index.json"))

    def recognizes_folder(self, path: Path) -> bool:
        """By the names of its files."""
        from fewflips.network.safetensors import folder

        return folder.is_model_folder(path)

    def read(self, path: Path) -> Network:
        """Read a folder, or a file of it."""
        from fewflips.network.safetensors import reader

        return reader.read(path)
