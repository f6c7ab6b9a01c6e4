"""ONNX files: reading networks, and writing them with their channels moved."""
