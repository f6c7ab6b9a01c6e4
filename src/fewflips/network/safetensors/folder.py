"""The folder of a model: its configuration, and the tensors of all its files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fewflips.errors import ModelError
from fewflips.files.input_files import open_plain, size_of
from fewflips.files.json_text import parse_json
from fewflips.network.safetensors.file import SafetensorsTensor, damaged, tensors_of
from fewflips.network.stored_bytes import FileBytes, read_parts
from fewflips.visible import printable

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
_OWN_CONFIGS = ("quantize_config.json", "quant_config.json")
"""Where older GPTQ and AWQ tools say how weights are quantized."""
_LARGEST_JSON = 64 << 20
_MOST_FILES = 4096


@dataclass(frozen=True)
class ModelFolder:
    """A model, without its weights.

    Parameters
    ----------
    path : Path
        The folder.
    config : mapping
        What ``config.json`` says.
    quantization : mapping
        How its weights are quantized; empty where nothing says so.
    tensors : mapping of str to SafetensorsTensor
        By name.
    """

    path: Path
    config: Mapping[str, Any] = field(repr=False)
    quantization: Mapping[str, Any] = field(repr=False)
    tensors: Mapping[str, SafetensorsTensor] = field(repr=False)

    def stored(self) -> tuple[str, dict[str, FileBytes]]:
        """Read all files once.

        Returns
        -------
        str
            Hexadecimal SHA-256 of the configuration and of the files' own, in the order of their names.
        dict of str to FileBytes
            Bytes of each tensor, with a checksum.
        """
        digest = hashlib.sha256(repr((self.config, self.quantization)).encode())
        found: dict[str, FileBytes] = {}
        for file in sorted({tensor.file for tensor in self.tensors.values()}):
            inside = [tensor for tensor in self.tensors.values() if tensor.file == file and tensor.length]
            of_file, parts = read_parts(file, [(tensor.offset, tensor.length) for tensor in inside])
            digest.update(f"{file.name}\0{of_file}\0".encode())
            found.update(zip((tensor.name for tensor in inside), parts, strict=True))
        return digest.hexdigest(), found


def is_model_folder(path: Path) -> bool:
    """Whether a folder holds a model as safetensors."""
    return any(os.path.isfile(path / name) for name in (CONFIG, WEIGHTS, INDEX))


def open_folder(path: Path) -> ModelFolder:
    """Read the configuration and the headers of a model.

    Parameters
    ----------
    path : Path
        The folder, or a file of it: its index, its configuration, or the one file of which tensors are to be read.

    Returns
    -------
    ModelFolder
        Tensors that are where they are said to be.

    Raises
    ------
    ModelError
        If a file is missing, cannot be read, or is damaged; or if the index names files elsewhere.
    """
    whole = os.path.isdir(path)
    folder = path if whole else path.parent
    config = _json(folder / CONFIG)
    quantization = config.get("quantization_config")
    for name in _OWN_CONFIGS:
        if quantization is None and os.path.isfile(folder / name):
            quantization = _json(folder / name)
    quantization = {} if quantization is None else quantization
    if not isinstance(quantization, dict):
        raise ModelError(f"{folder / CONFIG}: quantization_config: expected entries, got {type(quantization).__name__}")
    if path.name.endswith(".safetensors") and not whole:
        tensors = {tensor.name: tensor for tensor in tensors_of(path)}
    else:
        tensors = _tensors(folder, path if path.name.endswith(".index.json") else folder / INDEX)
    return ModelFolder(folder, config, quantization, tensors)


def _tensors(folder: Path, index: Path) -> dict[str, SafetensorsTensor]:
    """Tensors of the one file, or of all files of the index."""
    if not os.path.lexists(index):
        if not os.path.lexists(folder / WEIGHTS):
            raise ModelError(f"{folder}: expected {WEIGHTS} or {INDEX}, got neither: give the folder of a whole model")
        return {tensor.name: tensor for tensor in tensors_of(folder / WEIGHTS)}
    places = _json(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(name, str) for name in places.values()):
        raise ModelError(f"{index}: weight_map: expected the file of each tensor")
    shards = sorted(set(places.values()))
    if len(shards) > _MOST_FILES:
        raise ModelError(f"{index}: expected at most {_MOST_FILES} files, got {len(shards)}")
    found: dict[str, SafetensorsTensor] = {}
    for name in shards:
        inside = tensors_of(_shard(folder, index, name))
        for tensor in inside:
            if places.get(tensor.name) == name:
                found[tensor.name] = tensor
    missing = next((name for name in places if name not in found), None)
    if missing is not None:
        raise damaged(index, f"tensor '{printable(missing)}' is not in {printable(places[missing])}")
    return found


def _shard(folder: Path, index: Path, name: str) -> Path:
    """A file of the index: a plain name. What it links to is the folder's affair: caches keep files elsewhere."""
    if not name.endswith(".safetensors") or set(name) & set("/\\:\0") or name.startswith("."):
        raise ModelError(f"{index}: expected names of .safetensors files beside it, got {name[:200]!r}")
    path = folder / name
    if not os.path.isfile(path):
        raise ModelError(f"{index}: the file {printable(name)} is missing: put it beside the index")
    return path


def _json(path: Path) -> dict[str, Any]:
    try:
        if size_of(path) > _LARGEST_JSON:
            raise ModelError(f"{path}: expected at most {_LARGEST_JSON} bytes")
        with open_plain(path) as file:
            content = parse_json(file.read())
    except FileNotFoundError as error:
        raise ModelError(f"{path}: is missing: give the folder of a whole model, as it was downloaded") from error
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{path}: not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path}: expected entries by name, got {type(content).__name__}")
    return content
