"""Files that belong together: written as one, and distinguished from those of another run.

A result folder contains ``fewflips-manifest.json``, which lists the files of each command with their digests. New files
are first written completely elsewhere in the folder; then the manifest is replaced, and then the files, one by one. A
process killed in between leaves files that do not match the manifest, and every reader reports that. Running the same
command again repairs the folder.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fewflips.errors import InputError, OutputError
from fewflips.files.atomic import make_folder, sync_folder
from fewflips.files.input_files import open_plain, read_plain, size_of
from fewflips.files.leftovers import temporary_folder

MANIFEST = "fewflips-manifest.json"
STAGING = ".fewflips-"
"""Prefix of the names of folders in which results are staged."""

_LAST = "fewflips-manifest-at-the-end.json"
_LARGEST_BYTES = 1 << 20
_CHUNK = 1 << 20


class FileEntry(BaseModel):
    """One file of a command's results."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bytes: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


FileName = Annotated[str, Field(pattern=r"^[^/\\]{1,255}$")]


class Manifest(BaseModel):
    """Content of ``fewflips-manifest.json``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["fewflips-manifest"] = "fewflips-manifest"
    version: Literal[1] = 1
    results: Annotated[
        dict[str, dict[FileName, FileEntry]], Field(description="files by name, by the command that wrote them")
    ] = {}
    outdated: Annotated[
        tuple[FileName, ...], Field(description="files of earlier results, to be removed; none once all is written")
    ] = ()


def save_together(folder: Path, command: str, contents: Mapping[str, bytes]) -> tuple[Path, ...]:
    """Write all files of a command's results, or none.

    Files that the same command wrote there before and that are not among the new ones are removed, and so are leftovers
    of killed processes.

    Parameters
    ----------
    folder : Path
        Created if it does not exist.
    command : str
        The command whose results they are.
    contents : mapping of str to bytes
        Content of each file, by name.

    Returns
    -------
    tuple of Path
        The files, in the order of their names.

    Raises
    ------
    OutputError
        If anything cannot be written, or is not read back identically; the folder is then left as it was.
    """
    names = sorted(contents)
    make_folder(folder)
    try:
        with temporary_folder(STAGING, folder) as name:
            staging = Path(name)
            entries = {name: _staged(staging / name, contents[name]) for name in names}
            former = _former(folder)
            stale = _stale(folder, former, command, entries)
            manifest = Manifest(results={**_others(former, command, entries), command: entries}, outdated=stale)
            _stage_manifest(staging / MANIFEST, manifest)
            _stage_manifest(staging / _LAST, manifest.model_copy(update={"outdated": ()}))
            sync_folder(staging)
            _put_in_place(staging, folder, names, stale)
            sync_folder(folder)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written: {error.strerror or error}; choose another --output") from error
    return tuple(folder / name for name in names)


def check_belongs(path: Path) -> None:
    """Check that a file, and all others of the same run in its folder, match the manifest.

    Parameters
    ----------
    path : Path
        A file about to be read. If its folder has no manifest, or none of the entries has that name, there is nothing
        to check.

    Raises
    ------
    InputError
        If the file or one that belongs to it does not match, or the manifest is damaged.
    """
    folder = path.parent
    manifest = read_manifest(folder) or Manifest()
    if path.name in manifest.outdated:
        raise InputError(
            f"{path}: is of earlier results than the files beside it, whose writer was cut off: write the results "
            "again, or take the files that you want to another folder"
        )
    for command, entries in manifest.results.items():
        if path.name in entries:
            for name, entry in entries.items():
                _check(folder / name, entry, command)


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a folder; None if there is none.

    Raises
    ------
    InputError
        If it is damaged.
    """
    path = folder / MANIFEST
    try:
        if size_of(path) > _LARGEST_BYTES:
            raise InputError(f"{path}: expected a manifest of at most {_LARGEST_BYTES} bytes; remove it")
        return Manifest.model_validate_json(read_plain(path))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValidationError as error:
        raise InputError(
            f"{path}: expected the manifest of a folder of results, got something else: write the results again, or "
            "remove it"
        ) from error


def digests(contents: Mapping[str, bytes]) -> dict[str, str]:
    """SHA-256 of each file's content, in hexadecimal digits."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}


def _staged(path: Path, content: bytes) -> FileEntry:
    with path.open("xb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    entry = FileEntry(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    if _entry_of(path) != entry:
        raise OutputError(f"{path}: what was written is not what is read back; choose another --output")
    return entry


def _former(folder: Path) -> Manifest:
    try:
        return read_manifest(folder) or Manifest()
    except InputError:  # damaged: the files it named stay
        return Manifest()


def _others(former: Manifest, command: str, entries: Mapping[str, FileEntry]) -> dict[str, dict[FileName, FileEntry]]:
    """Files of other commands, except those that are replaced now."""
    return {
        other: {name: entry for name, entry in files.items() if name not in entries}
        for other, files in former.results.items()
        if other != command
    }


def _stale(folder: Path, former: Manifest, command: str, entries: Mapping[str, FileEntry]) -> tuple[str, ...]:
    """Files of the command's earlier results that it no longer writes, and no other command wrote."""
    others = {name for other, files in former.results.items() if other != command for name in files}
    before = set(former.results.get(command, {})) | set(former.outdated)
    left = (name for name in sorted(before - set(entries) - others) if os.path.lexists(folder / name))
    return tuple(name for name in left if not os.path.isdir(folder / name))  # no result is a folder


def _stage_manifest(path: Path, manifest: Manifest) -> None:
    _staged(path, (manifest.model_dump_json(indent=1) + "\n").encode())


def _put_in_place(staging: Path, folder: Path, names: Sequence[str], stale: Sequence[str]) -> None:
    """Move staged files to their places, the manifest first; if one cannot be moved, restore the old files."""
    former = staging / "former"
    former.mkdir()
    try:
        for name in (MANIFEST, *names):
            _keep(folder / name, former / name)
            os.replace(staging / name, folder / name)
        for name in stale:
            _keep(folder / name, former / name)
            os.unlink(folder / name)
        os.replace(staging / _LAST, folder / MANIFEST)
    except BaseException:  # including Ctrl-C: the files' places show how far it came
        for name in (*stale, *reversed(names), MANIFEST):
            if (former / name).exists():
                os.replace(former / name, folder / name)
            elif name not in stale and not (staging / name).exists():
                (folder / name).unlink(missing_ok=True)
        raise


def _keep(file: Path, former: Path) -> None:
    """Give a file a second name, or copy it; its own name never disappears in between."""
    try:
        os.link(file, former)
    except FileNotFoundError:
        return
    except OSError:  # links are not supported here
        shutil.copyfile(file, former)


def _check(path: Path, entry: FileEntry, command: str) -> None:
    try:
        found = _entry_of(path)
    except FileNotFoundError:
        return  # taken elsewhere; where it is the file itself, its reader says so
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    if found != entry:
        raise InputError(
            f"{path}: expected the file of `{command}` that {MANIFEST} names ({entry.bytes} bytes, SHA-256 "
            f"{entry.sha256[:12]}...), got another one ({found.bytes} bytes, {found.sha256[:12]}...): `{command}` was "
            "cut off, or the file was replaced; run it again, or take the files that you want to another folder"
        )


def _entry_of(path: Path) -> FileEntry:
    digest, count = hashlib.sha256(), 0
    with open_plain(path) as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            count += len(chunk)
    return FileEntry(bytes=count, sha256=digest.hexdigest())
