"""Quantized networks as ONNX files."""
