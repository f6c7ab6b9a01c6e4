"""Checkpoints: written completely or not at all, and read only as tensors and plain values."""

from __future__ import annotations

import io
import os
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fewflips.errors import InputError
from fewflips.files.atomic import atomic_write

FORMAT, VERSION = "fewflips-checkpoint", 1
_MAY_DIFFER = ("output", "checkpoint_every", "tensorboard", "dataset.path")
_LARGEST_MESSAGE = 200


def save_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Write a checkpoint; the previous one stays until this one is complete.

    Parameters
    ----------
    path : Path
        The file.
    content : mapping
        Tensors and plain values, nested.

    Raises
    ------
    OutputError
        If it cannot be written; the previous one is then unchanged.
    """
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, "version": VERSION, **content}, buffer)
    atomic_write(path, buffer.getvalue())


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint without executing anything in it.

    Parameters
    ----------
    path : Path
        A PyTorch file.

    Returns
    -------
    dict
        Its content, with tensors on the CPU.

    Raises
    ------
    InputError
        If it is missing or damaged, contains anything but tensors and plain values, or is not a dictionary.
    """
    if not os.path.isfile(path):
        raise InputError(f"{path}: expected a checkpoint, found no such file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the pickle's old protocol
            _check_not_packed(path)
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can raise anything in zipfile, pickle and torch
        asked = re.search(r"GLOBAL (\S+)", str(error))
        if asked:
            raise InputError(
                f"{path}: expected a checkpoint of tensors and plain values, got one that asks for "
                f"{asked[1][:_LARGEST_MESSAGE]}, which is not loaded: it may be hostile"
            ) from error
        raise InputError(
            f"{path}: expected a checkpoint of tensors and plain values, got a file that is damaged or holds other "
            "objects, which are not loaded"
        ) from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a checkpoint of fewflips, got {type(content).__name__}")
    return content


def _check_not_packed(path: Path) -> None:
    """Refuse archives that would take more memory than their size: PyTorch stores tensors uncompressed."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            size = sum(info.file_size for info in archive.infolist())
        if size > path.stat().st_size:
            raise ValueError(f"expected parts as large as the file at most, got {size} bytes")


def load_run(path: Path) -> dict[str, Any]:
    """Read the checkpoint of a run of :func:`fewflips.training.train`.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    dict
        Its content.

    Raises
    ------
    InputError
        As for :func:`load_checkpoint`, or if another program wrote it.
    """
    content = load_checkpoint(path)
    if not holds(content, "format", FORMAT) or not holds(content, "version", VERSION):
        raise InputError(
            f"{path}: expected a checkpoint of fewflips, version {VERSION}, got "
            f"{str(content.get('format'))[:_LARGEST_MESSAGE]}, version {str(content.get('version'))[:20]}"
        )
    return content


def holds(content: Mapping[str, Any], name: str, value: Any) -> bool:
    """Whether a part of a checkpoint is this plain value; plain comparison would raise an error for a tensor.

    Examples
    --------
    >>> holds({"version": 1}, "version", 1), holds({"version": torch.ones(2)}, "version", 1)
    (True, False)
    """
    found = content.get(name)
    return type(found) is type(value) and bool(found == value)


def check_same_run(path: Path, saved: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Refuse to continue from a checkpoint of another configuration.

    Parameters
    ----------
    path : Path
        Path of the checkpoint, for the message.
    saved, config : mapping
        The configuration in the checkpoint, and the requested one.

    Raises
    ------
    InputError
        If they differ in anything that affects the result.
    """
    before, now = _leaves(saved), _leaves(config)
    for name in sorted(before.keys() | now.keys()):
        if name not in _MAY_DIFFER and before.get(name) != now.get(name):
            raise InputError(
                f"{path}: expected that of a run with {name} {now.get(name)}, got one with "
                f"{before.get(name)}: resume with the configuration that it was made with, or choose another output"
            )


def load_weights(path: Path, network: nn.Module, state: Any) -> None:
    """Load the weights of a checkpoint into a network.

    Parameters
    ----------
    path : Path
        Path of the checkpoint, for the message.
    network : nn.Module
        Network of the architecture expected in the checkpoint; it is modified.
    state : object
        The network's state in the checkpoint.

    Raises
    ------
    InputError
        If the architecture differs; the message names the first tensor that differs.
    """
    if not isinstance(state, dict):
        raise InputError(f"{path}: expected the weights of a network, got {type(state).__name__}")
    odd = [name for name in state if not isinstance(name, str)]
    if odd:
        raise InputError(f"{path}: expected names of tensors, got one of type {type(odd[0]).__name__}: it is damaged")
    expected = network.state_dict()
    for name in (*expected, *state):
        got, wanted = _described(state.get(name)), _described(expected.get(name))
        if got != wanted and not name.endswith("code_shift"):  # layers allocate their code shift themselves
            raise InputError(
                f"{path}: expected a checkpoint of this network, with {name} {wanted}, got {got}: "
                "it is of another architecture or width"
            )
        model = expected.get(name)
        if isinstance(model, Tensor) and name in state and not is_like(state[name], model):
            raise InputError(
                f"{path}: expected a checkpoint of this network, with {name} of type {_type_of(model)}, got "
                f"{_type_of(state[name])}: it is damaged"
            )
    try:
        network.load_state_dict(dict(state))  # without the file's version numbers of layers
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise InputError(f"{path}: expected a checkpoint of this network: {' '.join(str(error).split())}") from error


def is_like(value: Any, expected: Tensor) -> bool:
    """Whether a value is a plain tensor in memory with this shape and type."""
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and value.dtype == expected.dtype
        and value.shape == expected.shape
    )


def _leaves(content: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(content, Mapping):
        return {prefix: content}
    leaves: dict[str, Any] = {}
    for key, value in content.items():
        name = f"{prefix}.{key}" if prefix else str(key)
        # the first matching pattern counts, so their order is part of the configuration
        ordered = key == "weight_bits" and isinstance(value, Mapping)
        leaves |= {name: list(value.items())} if ordered else _leaves(value, name)
    return leaves


def _type_of(value: Any) -> str:
    if not isinstance(value, Tensor):
        return type(value).__name__
    layout = "" if value.layout == torch.strided and value.device.type != "meta" else " without plain values"
    return f"{str(value.dtype).removeprefix('torch.')}{layout}"


def _described(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"of shape {list(value.shape)}"
    return "missing" if value is None else f"of type {type(value).__name__}"
