"""What the C++ code of the onnx package raises on models that it does not accept."""

from __future__ import annotations

import onnx

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
