"""Writing an ONNX file again with the channels of its constants moved."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Container, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto

from fewflips.errors import FewflipsError, InputError, ModelError, OutputError
from fewflips.files.atomic import atomic_write
from fewflips.network.graph import Network
from fewflips.network.onnx.elements import item_type, pack, unpack
from fewflips.network.onnx.file import MAX_FILE_BYTES, OnnxFile
from fewflips.network.onnx.messages import all_tensors
from fewflips.network.onnx.packed_blocks import PackedConstant, packed_constants

_ALIGNMENT = 4096
"""External tensors start at multiples of this, so that runtimes can map them into memory."""


def rewrite(network: Network, permutations: Mapping[str, Mapping[int, NDArray[np.integer]]], destination: Path) -> None:
    """Write a network's file again with the channels of its constants moved.

    Initializers and Constant nodes are reordered, packed codes as the matrices that they stand for; everything else in
    the model stays. If the model keeps tensors
    in external files, all of them go to one file beside the destination, ``NAME.data``.

    Parameters
    ----------
    network : Network
        As :func:`fewflips.network.onnx.reader.read` gave it.
    permutations : mapping of str to mapping of int to ndarray of int
        Constant -> axis -> permutation p of that axis: ``new = old.take(p, axis)``.
    destination : Path
        The file to write; it appears complete or not at all.

    Raises
    ------
    InputError
        If the file has changed since it was read, a permutation does not fit its constant, or writing would
        overwrite the original's external data.
    OutputError
        If the destination cannot be written.
    """
    destination = Path(destination)
    file = OnnxFile(network.path)
    if file.sha256 != network.sha256:
        raise InputError(f"{network.path}: the file has changed since it was read; read it again")
    packed = packed_constants(file)
    tensors = [_checked(file, name, axes, packed.get(name)) for name, axes in permutations.items()]
    moved = {id(tensor): axes for tensor, axes in tensors}
    matrices = {id(tensor): packed.get(name) for name, (tensor, _) in zip(permutations, tensors, strict=True)}

    def content_of(tensor: TensorProto) -> bytes:
        axes, matrix = moved.get(id(tensor), {}), matrices.get(id(tensor))
        return _moved_bytes(file, tensor, axes) if matrix is None else matrix.moved(file.payload(tensor), axes)

    write_changed(file, moved, content_of, destination)


def write_changed(
    file: OnnxFile, changed: Container[int], content_of: Callable[[TensorProto], bytes], destination: Path
) -> None:
    """Write a file with other bytes in some of its tensors.

    Parameters
    ----------
    file : OnnxFile
        The file; its model is changed.
    changed : container of int
        The identity (`id`) of each tensor that changes.
    content_of : callable
        The new bytes of one of them, as ``raw_data`` holds them; and those of a tensor in an external file, changed
        or not.
    destination : Path
        The file to write; it appears complete or not at all.

    Raises
    ------
    InputError
        If writing would overwrite the original's external data.
    ModelError
        If the model is too large for one file.
    OutputError
        If the destination cannot be written.
    """
    tensors = list(all_tensors(file.model))
    external = [tensor for tensor in tensors if file.external(tensor) is not None]
    for tensor in tensors:
        if id(tensor) in changed and file.external(tensor) is None:
            _set_raw(tensor, content_of(tensor))
    if external:
        _write_external(file, external, content_of, destination)
    else:
        atomic_write(destination, _serialized(file.model, file.path))


def _checked(
    file: OnnxFile, name: str, axes: Mapping[int, NDArray[np.integer]], packed: PackedConstant | None
) -> tuple[TensorProto, Mapping[int, NDArray[np.integer]]]:
    constant = file.constants.get(name)
    if constant is None or constant.tensor is None:
        raise InputError(f"expected the name of an initializer or Constant node of the network, got '{name}'")
    if constant.element_type == TensorProto.STRING:
        raise InputError(f"constant '{name}': expected numbers, got strings")
    shape = constant.shape if packed is None else packed.shape
    for axis, permutation in axes.items():
        if not 0 <= axis < len(shape):
            raise InputError(f"constant '{name}' of shape {list(shape)} has no axis {axis}")
        length, given = shape[axis], np.asarray(permutation)
        whole = given.shape == (length,) and given.dtype.kind in "iu"
        if not whole or not np.array_equal(np.sort(given), np.arange(length)):
            raise InputError(
                f"constant '{name}' of shape {list(shape)}, axis {axis}: expected a permutation of 0 to "
                f"{length - 1}, got an array of shape {list(given.shape)} and type {given.dtype}"
            )
    return constant.tensor, axes


def _moved_bytes(file: OnnxFile, tensor: TensorProto, axes: Mapping[int, NDArray[np.integer]]) -> bytes:
    """Bytes of a tensor after its axes have been reordered."""
    dtype, bits = item_type(tensor.data_type)
    shape = tuple(tensor.dims)
    items = np.frombuffer(file.payload(tensor), dtype=dtype)
    if bits is not None:
        items = unpack(items, bits, int(np.prod(shape)))
    items = items.reshape(shape)
    for axis, permutation in axes.items():
        items = items.take(permutation, axis)
    if bits is not None:
        items = pack(items, bits)
    return items.tobytes()


def _set_raw(tensor: TensorProto, content: bytes) -> None:
    for field_name in ("float_data", "int32_data", "int64_data", "double_data", "uint64_data"):
        tensor.ClearField(field_name)
    tensor.raw_data = content


def _serialized(model: ModelProto, path: Path) -> bytes:
    if model.ByteSize() > MAX_FILE_BYTES:
        raise ModelError(f"{path}: the model is beyond 2 GiB, which ONNX files cannot hold without external data")
    return model.SerializeToString()


def _write_external(
    file: OnnxFile,
    tensors: list[TensorProto],
    content_of: Callable[[TensorProto], bytes],
    destination: Path,
) -> None:
    """Write the external data and the model; neither stays behind alone where writing fails."""
    data_path = destination.with_name(destination.name + ".data")
    sources = {external.path for external in map(file.external, tensors) if external is not None}
    if destination.resolve() in sources | {file.path.resolve()} or data_path.resolve() in sources:
        raise InputError(
            f"cannot write {destination}: the original's data are in {data_path.name}; choose another name or folder"
        )
    with _Pair(data_path, destination) as (data, model):
        for tensor in tensors:
            content = content_of(tensor)
            data.write(b"\0" * (-data.tell() % _ALIGNMENT))
            place = {"location": data_path.name, "offset": str(data.tell()), "length": str(len(content))}
            data.write(content)
            del tensor.external_data[:]
            for key, value in place.items():
                tensor.external_data.add(key=key, value=value)
        model.write(_serialized(file.model, file.path))


class _Pair:
    """Two files that appear together, once both are complete; a context manager that gives streams to write to."""

    def __init__(self, *paths: Path) -> None:
        self._paths = paths
        self._temporary: list[Path] = []
        self._streams: list[IO[bytes]] = []

    def __enter__(self) -> list[IO[bytes]]:
        try:
            for path in self._paths:
                descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:64]}.", suffix=".part")
                self._temporary.append(Path(name))
                self._streams.append(os.fdopen(descriptor, "wb"))
        except OSError as error:
            self._discard()
            raise self._failed(error) from error
        return self._streams

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._finish()
        except OSError as failure:
            raise self._failed(failure) from failure
        finally:
            self._discard()
        if isinstance(error, OSError) and not isinstance(error, FewflipsError):
            raise self._failed(error) from error

    def _finish(self) -> None:
        mask = os.umask(0)
        os.umask(mask)
        for stream in self._streams:
            stream.flush()
            os.fsync(stream.fileno())
            stream.close()
        for temporary, path in zip(self._temporary, self._paths, strict=True):
            temporary.chmod(0o666 & ~mask)
            temporary.replace(path)

    def _discard(self) -> None:
        for stream in self._streams:
            with suppress(OSError):
                stream.close()
        for temporary in self._temporary:
            temporary.unlink(missing_ok=True)

    def _failed(self, error: OSError) -> OutputError:
        return OutputError(
            f"cannot write {self._paths[-1]}: {error.strerror or error}; give a path in an existing folder that can be "
            "written and has room"
        )
