"""The runtimes that come with the package; each loads its library in the process in which models run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fewflips.execution.sessions import ModelRuntime, Session


class LiteRT(ModelRuntime):
    """TensorFlow Lite files, in LiteRT."""

    file_format = "tflite"
    name = "LiteRT"

    def open(self, path: Path, fetch: Sequence[str]) -> Session:
        """Open a model."""
        from fewflips.execution import litert

        return litert.LiteRTSession(str(path), fetch)

    def executes_in_integers(self, path: Path) -> bool:
        """Whether all quantized products of a model are computed in integers."""
        from fewflips.execution import litert

        return litert.executes_in_integers(str(path))


class OnnxRuntime(ModelRuntime):
    """ONNX files, in ONNX Runtime."""

    file_format = "onnx"
    name = "ONNX Runtime"

    def open(self, path: Path, fetch: Sequence[str]) -> Session:
        """Open a model."""
        from fewflips.execution import onnx_runtime

        return onnx_runtime.OnnxRuntimeSession(str(path), fetch)

    def executes_in_integers(self, path: Path) -> bool:
        """Whether all quantized products of a model are computed in integers."""
        from fewflips.execution import onnx_runtime

        return onnx_runtime.executes_in_integers(str(path))
