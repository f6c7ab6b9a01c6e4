"""TFLite files: reading the integer products of a network, and writing it with its channels moved."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import FloatModelError, InputError, ModelError
from fewflips.files.atomic import atomic_write
from fewflips.files.input_files import read_plain, size_of
from fewflips.network.graph import Network
from fewflips.network.tflite.constants import constant_names, moved
from fewflips.network.tflite.file import FileTensor, TFLiteFile, decode
from fewflips.network.tflite.layers import TFLiteLayerReader
from fewflips.network.tflite.operators import describe

SCHEMA_VERSION = 3
"""All files with the identifier TFL3 have it."""

MAX_FILE_BYTES = 2**31
"""A flatbuffer's offsets do not reach further."""


def read(path: Path) -> Network:
    """Read a TFLite file.

    Convolutions, depthwise convolutions and fully connected layers with integer weights become layers, SVDF operators
    two layers each; other operators are kept as what they do to channels. Only the main subgraph is read.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    Network
        Its layers and operators; `notes` says what was passed over.

    Raises
    ------
    FloatModelError
        If the weights are floats; the message says how to quantize them.
    ModelError
        If the file cannot be read, is damaged, or has no layer.
    """
    path = Path(path)
    data = _bytes_of(path)
    file = decode(data, path)
    names, fixed = constant_names(file)
    reader = TFLiteLayerReader(path, file, names)
    layers = reader.layers()
    if not layers:
        raise _no_layers(path, reader)
    operations, tensors, operator_notes = describe(file, names, fixed)
    return Network(
        path=path,
        file_format="tflite",
        sha256=hashlib.sha256(data).hexdigest(),
        layers=layers,
        tensors=tensors,
        operations=operations,
        inputs=tuple(file.tensors[index].name for index in file.inputs),
        outputs=tuple(file.tensors[index].name for index in file.outputs),
        notes=(*_notes_on_file(file), *reader.notes, *operator_notes),
        left_out=tuple(reader.left_out),
    )


def rewrite(network: Network, permutations: Mapping[str, Mapping[int, NDArray[np.integer]]], destination: Path) -> None:
    """Write a network's file again with the channels of its constants moved.

    Weights, biases and per-channel quantization parameters are reordered in place; every other byte of the
    file stays. Whether the result computes the same is for :mod:`fewflips.execution.litert` to show.

    Parameters
    ----------
    network : Network
        As :func:`read` gave it.
    permutations : mapping of str to mapping of int to ndarray of int
        Constant -> axis -> permutation p of that axis: ``new = old.take(p, axis)``.
    destination : Path
        The file to write; it appears complete or not at all.

    Raises
    ------
    InputError
        If the file has changed since it was read, or a permutation does not fit its constant.
    OutputError
        If the destination cannot be written.
    """
    original = _bytes_of(network.path)
    if hashlib.sha256(original).hexdigest() != network.sha256:
        raise InputError(f"{network.path}: the file has changed since it was read; read it again")
    data = bytearray(original)
    file = decode(data, network.path)
    names, fixed = constant_names(file)
    chosen = _checked(file, names, fixed, permutations)
    changes = [change for index in chosen for change in moved(file.tensors[index], chosen[index])]
    for array, content in changes:
        array[...] = content
    if any(not np.array_equal(array.view(np.uint8), content.view(np.uint8)) for array, content in changes):
        raise InputError(
            f"{network.path}: constants that share bytes are to be moved in different ways; "
            "tie their channels, or leave them in place"
        )
    atomic_write(Path(destination), bytes(data))


def tensor_indices(path: Path) -> dict[str, int]:
    """Index of every tensor of a file's main subgraph, by the unique name that :func:`read` gives it."""
    return {tensor.name: tensor.index for tensor in decode(_bytes_of(path), path).tensors}


def misread_by_litert(path: Path) -> str:
    """Say which operator LiteRT would read or write beyond its tensors; empty where there is none.

    LiteRT 2.3 takes the time weights and the state of an SVDF with int8 inputs for int16 without a look at their types.
    With int8, which TensorFlow Lite for Microcontrollers runs, it computes with whatever lies behind them, or ends by a
    signal.
    """
    file = decode(_bytes_of(path), path)
    for op in file.operators:
        if op.operator != "SVDF" or len(op.inputs) < 5 or min(op.inputs[0], *op.inputs[2:5:2]) < 0:
            continue
        source, times, state = (file.tensors[op.inputs[position]] for position in (0, 2, 4))
        if source.dtype == "INT8" and (times.dtype, state.dtype) != ("INT16", "INT16"):
            name = file.tensors[op.outputs[0]].name if op.outputs else state.name
            return (
                f"expected int16 time weights and an int16 state of the SVDF operator '{name}', got "
                f"{times.dtype.lower()} and {state.dtype.lower()}, which LiteRT would misread; "
                "TensorFlow Lite for Microcontrollers runs it"
            )
    return ""


def _bytes_of(path: Path) -> bytes:
    try:
        size = size_of(path)
        if size > MAX_FILE_BYTES:
            raise ModelError(f"{path}: expected a TFLite file of at most 2 GiB, got {size} bytes")
        return read_plain(path)
    except (OSError, ValueError) as error:
        if isinstance(error, ModelError):
            raise
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise ModelError(f"{path}: cannot be read: {reason}; give the path of a .tflite file") from error


def _no_layers(path: Path, reader: TFLiteLayerReader) -> ModelError:
    if reader.float_operators:
        return FloatModelError(
            f"{path}: expected integer weights, got a float model: quantize it first, with the TFLite converter "
            "(optimizations=[tf.lite.Optimize.DEFAULT], a representative_dataset, and TFLITE_BUILTINS_INT8) "
            "or with ai-edge-quantizer"
        )
    detail = f" ({reader.notes[0]})" if reader.notes else ""
    return ModelError(
        f"{path}: expected at least one CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED or SVDF with integer weights, "
        f"got none{detail}; give a quantized network"
    )


def _notes_on_file(file: TFLiteFile) -> list[str]:
    notes = []
    if file.version != SCHEMA_VERSION:
        notes.append(f"the file says schema version {file.version}; it is read as version {SCHEMA_VERSION}")
    if file.unreadable_metadata:
        notes.append(f"metadata whose bytes are not in the file is passed over ({file.unreadable_metadata} of it)")
    if file.subgraphs > 1:
        notes.append(f"{file.subgraphs - 1} other subgraphs (control flow, signatures) are not read")
    symbolic = [file.tensors[index].name for index in file.inputs if file.tensors[index].has_symbolic_axis]
    notes.extend(
        f"input '{name}' has symbolic axes: counted with the lengths that the file gives, 1 where it gives none"
        for name in symbolic
    )
    faults = [tensor.quantization_fault for tensor in file.tensors if tensor.quantization_fault]
    if faults:
        others = f" (and {len(faults) - 1} more like this)" if len(faults) > 1 else ""
        notes.append(
            f"{faults[0]}{others}: flips do not depend on these quantization parameters; constants that have such "
            "stay where they are"
        )
    return notes


def _checked(
    file: TFLiteFile,
    names: Mapping[int, str],
    fixed: frozenset[str],
    permutations: Mapping[str, Mapping[int, NDArray[np.integer]]],
) -> dict[int, dict[int, NDArray[np.integer]]]:
    """Permutations by tensor index, each known to fit."""
    known = set(names.values())
    for name in permutations:
        if name not in known:
            raise InputError(f"expected the name of a constant of the network, got '{name}'")
        if name in fixed and permutations[name]:
            raise InputError(f"constant '{name}' must stay as it is: its bytes have another use or layout")
    chosen: dict[int, dict[int, NDArray[np.integer]]] = {}
    for index, name in names.items():
        tensor = file.tensors[index]
        for axis, permutation in permutations.get(name, {}).items():
            chosen.setdefault(index, {})[axis] = _permutation(tensor, axis, permutation)
    return chosen


def _permutation(tensor: FileTensor, axis: int, permutation: NDArray[np.integer]) -> NDArray[np.integer]:
    if not 0 <= axis < len(tensor.shape):
        raise InputError(f"constant '{tensor.name}' of shape {list(tensor.shape)} has no axis {axis}")
    result = np.asarray(permutation)
    length = tensor.shape[axis]
    whole = result.shape == (length,) and result.dtype.kind in "iu"
    if not whole or not np.array_equal(np.sort(result), np.arange(length)):
        raise InputError(
            f"constant '{tensor.name}' of shape {list(tensor.shape)}, axis {axis}: expected a permutation of 0 to "
            f"{length - 1}, got an array of shape {list(result.shape)} and type {result.dtype}"
        )
    return result
