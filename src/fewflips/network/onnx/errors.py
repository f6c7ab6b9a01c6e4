"""Errors of ONNX files: ours, and what the C++ code of the onnx package raises on models that it does not accept."""

from __future__ import annotations

from pathlib import Path

import onnx

from fewflips.errors import ModelError

REFUSED: tuple[type[Exception], ...] = (
    onnx.checker.ValidationError,
    onnx.shape_inference.InferenceError,
    RuntimeError,
    ValueError,
    IndexError,
    OverflowError,
    MemoryError,
)
"""Raised by its checker, its shape inference and its inliner alike."""


def damaged(path: Path, detail: str) -> ModelError:
    """The error of a file that contradicts itself."""
    return ModelError(f"{path}: damaged ONNX file: {detail}")


class PassedOver(Exception):
    """A weighted operator that is not read as a layer; its text says why, without a subject."""


class UnfitOperator(Exception):
    """An operator whose parts do not fit each other; its text says what was expected and what is there."""
