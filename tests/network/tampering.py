"""Models with their channels in another order, and with one bit of a constant flipped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from fewflips.network import Network, rewrite
from fewflips.network.channels import ChannelGroups, tie_channels
from fewflips.network.tflite.file import decode


def random_orders(groups: ChannelGroups, seed: int = 0) -> dict[int, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {group: generator.permutation(groups.sizes[group]) for group in groups.free}


def moved(network: Network, folder: Path, seed: int = 0) -> Path:
    """The network with all its free channels in a random order."""
    groups = tie_channels(network)
    path = folder / f"moved{network.path.suffix}"
    rewrite(network, groups.permutations(random_orders(groups, seed)), path)
    return path


def flip_tflite(path: Path, generator: np.random.Generator) -> str:
    """Flip a bit of a constant or of its quantization parameters; the name of the constant."""
    data = bytearray(path.read_bytes())
    tensors = [tensor for tensor in decode(data, path).tensors if tensor.data is not None]
    tensor = tensors[generator.integers(len(tensors))]
    arrays = [tensor.data, *(vector for vector in tensor.quantization.vectors if vector.size)]
    content = arrays[generator.integers(len(arrays))].view(np.uint8)
    content[generator.integers(content.size)] ^= np.uint8(1 << generator.integers(8))
    path.write_bytes(data)
    return tensor.name


def flip_onnx(path: Path, generator: np.random.Generator) -> str:
    model = onnx.load(path)
    tensor = model.graph.initializer[generator.integers(len(model.graph.initializer))]
    content = bytearray(numpy_helper.to_array(tensor).tobytes() if not tensor.raw_data else tensor.raw_data)
    padded = tensor.data_type in (onnx.TensorProto.INT4, onnx.TensorProto.UINT4)  # its last byte may be half empty
    content[generator.integers(len(content) - padded)] ^= 1 << generator.integers(8)
    for field in ("float_data", "int32_data", "int64_data"):
        tensor.ClearField(field)
    tensor.raw_data = bytes(content)
    onnx.save(model, path)
    return tensor.name


def flip(path: Path, generator: np.random.Generator) -> str:
    return flip_tflite(path, generator) if path.suffix == ".tflite" else flip_onnx(path, generator)
