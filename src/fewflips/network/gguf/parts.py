"""Models in several files: ``NAME-00001-of-00003.gguf``, as llama-gguf-split writes them."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

from fewflips.errors import ModelError
from fewflips.network.gguf.file import GGUFFile, check_names, decode
from fewflips.network.gguf.header import damaged
from fewflips.network.stored_bytes import FileBytes, read_parts
from fewflips.visible import printable

_NAME = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.gguf", re.DOTALL)
_NUMBER, _COUNT = "split.no", "split.count"


def open_model(path: Path) -> GGUFFile:
    """Read the headers of a model.

    Parameters
    ----------
    path : Path
        Its file; one of them, where it has several.

    Returns
    -------
    GGUFFile
        Tensors of all its files.

    Raises
    ------
    ModelError
        If a file cannot be read, is damaged, missing, or not of this model.
    """
    file = decode(path)
    count = file.metadata.get(_COUNT, 1)
    if not isinstance(count, int) or count < 2:
        return file
    name = _NAME.fullmatch(path.name)
    if name is None or int(name.group(3)) != count:
        raise ModelError(
            f"{path}: is one of {count} files: expected a name that ends in -00001-of-{count:05}.gguf: rename it back"
        )
    files = [
        _part(path.with_name(f"{name.group(1)}-{number + 1:05}-of-{count:05}.gguf"), number, count)
        for number in range(count)
    ]
    tensors = tuple(tensor for part in files for tensor in part.tensors)
    check_names(path, tensors)
    return GGUFFile(path, files[0].metadata, tensors)


def _part(path: Path, number: int, count: int) -> GGUFFile:
    if not os.path.lexists(path):
        raise ModelError(
            f"{path.parent}: the file {printable(path.name)} of the model is missing: put it beside the others"
        )
    file = decode(path)
    got = file.metadata.get(_NUMBER), file.metadata.get(_COUNT)
    if got != (number, count):
        raise damaged(path, f"expected {_NUMBER} and {_COUNT} to be {number} and {count}, got {got[0]} and {got[1]}")
    return file


def stored_parts(file: GGUFFile, places: Sequence[tuple[Path, int, int]]) -> tuple[str, list[FileBytes]]:
    """Read the files of a model once, and note the checksums of parts of them.

    Parameters
    ----------
    file : GGUFFile
        The model.
    places : sequence of (Path, int, int)
        File, offset and length of each part, in bytes.

    Returns
    -------
    str
        Hexadecimal SHA-256 of the file; of those of all files, where there are several.
    list of FileBytes
        The parts, in the given order.

    Raises
    ------
    ModelError
        If a file cannot be read, or has been cut short.
    """
    digests: list[str] = []
    found: dict[tuple[Path, int, int], FileBytes] = {}
    for path in sorted({file.path, *(tensor.file for tensor in file.tensors)}):
        inside = [(offset, length) for other, offset, length in places if other == path]
        sha256, parts = read_parts(path, inside)
        digests.append(sha256)
        found.update(zip(((path, offset, length) for offset, length in inside), parts, strict=True))
    whole = digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
    return whole, [found[place] for place in places]
