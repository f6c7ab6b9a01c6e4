"""Looks at an installation: versions, extras, programs, caches and processors."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from fewflips.files.cache import cache_folder
from fewflips.kernels.cache import kernel_folder
from fewflips.parallel.processors import processors
from fewflips.records.doctor import CacheFolder, DoctorReport, InstalledPart
from fewflips.version import __version__

_REQUIREMENT = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?\s*([^;]*)(?:;\s*(.*))?$")
_LOWEST = re.compile(r">=\s*([0-9][0-9.]*)")
_EXTRA = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")
_EXTRAS = {
    "gates": "energy at gate level of units that do not ship with the package (fewflips energy, optimize --energy)",
    "train": "fewflips train, distillation, and the HD term in a training loop of your own",
    "assignment": "exact assignments when both operands are ordered",
    "explore": "the search of fewflips explore by Optuna",
    "gguf": "GGUF files",
    "safetensors": "safetensors files",
    "cluster": "fewflips explore on a Dask cluster",
    "accelforge": "machines of AccelForge (Python 3.12)",
    "memory": "figures of memories from hwcomponents and CACTI (Python 3.12)",
    "dataframe": "reports as pandas data frames (fewflips.to_dataframe)",
}
"""What the extras that users install are for."""
_PYTHON_NEEDED = re.compile(r"""python_version\s*>=\s*['"]([0-9.]+)['"]""")
_PATIENCE_S = 20.0


@dataclass(frozen=True)
class _Program:
    name: str
    arguments: tuple[str, ...]
    enables: str
    install: str


_PROGRAMS = (
    _Program(
        "yosys",
        ("-V",),
        "synthesis, in place of the extra gates",
        "pip install 'fewflips[gates]', or apt install yosys",
    ),
    _Program("iverilog", ("-V",), "fewflips rtl --run: testbenches in Icarus Verilog", "apt install iverilog"),
    _Program("sta", ("-version",), "comparing power with OpenSTA (docs/energy.md)", "github.com/parallaxsw/OpenSTA"),
    _Program("openroad", ("-version",), "placing and routing a unit (docs/post_layout.md)", "openroad.readthedocs.io"),
)


def doctor() -> DoctorReport:
    """Look at this installation.

    Returns
    -------
    DoctorReport
        Packages and programs with their versions, what each is for and how to get it; caches; processors.

    Examples
    --------
    >>> fewflips.doctor().healthy
    True
    """
    parts = (*_packages(), *(_tool(program) for program in _PROGRAMS))
    return DoctorReport(
        fewflips=__version__,
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        processors=processors(),
        healthy=all(part.usable for part in parts if part.kind == "needed"),
        parts=parts,
        caches=(_cache("results of synthesis and calibration", cache_folder()), _cache("kernels", kernel_folder())),
    )


def _packages() -> Iterator[InstalledPart]:
    """Dependencies, then the packages of each extra; nothing where the package itself has no metadata."""
    try:
        requirements = metadata.requires("fewflips") or []
    except metadata.PackageNotFoundError:
        requirements = []
    extras = []
    for requirement in requirements:
        found = _REQUIREMENT.match(requirement)
        if found is None or found[1] == "fewflips":
            continue
        extra = _EXTRA.search(found[3] or "")
        if extra is None:
            yield _package(found[1], found[2], None)
        elif extra[1] in _EXTRAS and _python_will_do(found[3]):
            extras.append(_package(found[1], found[2], extra[1]))
    yield from extras


def _python_will_do(marker: str) -> bool:
    needed = _PYTHON_NEEDED.search(marker)
    return needed is None or not _older(platform.python_version(), needed[1])


def _package(name: str, specifier: str, extra: str | None) -> InstalledPart:
    lowest = _LOWEST.search(specifier)
    upgrade = f"pip install --upgrade '{name}{specifier.strip()}'"
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        version = None
    return InstalledPart(
        kind="needed" if extra is None else "extra",
        name=name,
        extra=extra,
        version=version,
        lowest=lowest[1] if lowest else None,
        usable=version is not None and (lowest is None or not _older(version, lowest[1])),
        enables="every command" if extra is None else _EXTRAS[extra],
        install=upgrade if extra is None else f"pip install 'fewflips[{extra}]'",
    )


def _older(version: str, lowest: str) -> bool:
    """Whether a version's numbers come before those of the lowest that will do.

    Examples
    --------
    >>> _older("2.9.1", "2.10"), _older("2.10", "2.10.0"), _older("3", "2.10")
    (True, False, False)
    """
    left, right = _numbers(version), _numbers(lowest)
    length = max(len(left), len(right))
    return [*left, *[0] * (length - len(left))] < [*right, *[0] * (length - len(right))]


def _numbers(version: str) -> list[int]:
    found = re.match(r"[0-9]+(\.[0-9]+)*", version)
    return [int(part) for part in found[0].split(".")] if found else []


def _tool(program: _Program) -> InstalledPart:
    path = shutil.which(program.name)
    version = None if path is None else _version_of([path, *program.arguments])
    return InstalledPart(
        kind="tool",
        name=program.name,
        version=version,
        lowest=None,
        usable=version is not None,
        enables=program.enables,
        install=program.install,
    )


def _version_of(command: Sequence[str]) -> str | None:
    """The first line with a number of what a program says of its version; None if it does not run."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_PATIENCE_S, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = (done.stdout + done.stderr).splitlines()
    return next((line.strip()[:80] for line in lines if re.search(r"\d", line)), None)


def _cache(name: str, folder: Path) -> CacheFolder:
    entries = size = 0
    for place, _, files in os.walk(folder):
        for file in files:
            entries += 1
            size += _size(Path(place) / file)
    writable = _writable(folder)
    advice = "" if writable else "set FEWFLIPS_CACHE to a folder that can be written; until then all is made anew"
    return CacheFolder(name=name, path=str(folder), writable=writable, entries=entries, size_bytes=size, advice=advice)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:  # removed meanwhile
        return 0


def _writable(folder: Path) -> bool:
    existing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
