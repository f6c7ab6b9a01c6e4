from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

from fewflips.kernels.cache import kernel_folder

KERNELS = """
from fewflips.kernels.compiled import compiled


@compiled
def doubled(value):
    return 2 * value


@compiled
def total(values):
    result = 0
    for value in values:
        result += doubled(value)
    return result
"""

VALUES = np.arange(10)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "cache"))
    assert kernel_folder() == tmp_path / "cache/kernels"
    return kernel_folder()


@pytest.fixture
def fresh_kernel(tmp_path: Path) -> Callable[[], Any]:
    """Makes the kernel as a new process would: nothing of it is compiled."""
    file = tmp_path / "kernels_of_a_test.py"
    file.write_text(KERNELS)

    def load() -> Any:
        spec = importlib.util.spec_from_file_location(file.stem, file)
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[file.stem] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.total

    return load


def was_found(kernel: Any) -> bool:
    assert kernel(VALUES) == 90
    stats = kernel.stats
    return bool(sum(stats.cache_hits.values())) and not sum(stats.cache_misses.values())


def entries(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.iterdir()}


def test_a_kernel_is_compiled_once(fresh_kernel: Callable[[], Any], folder: Path) -> None:
    assert not was_found(fresh_kernel())
    kept = entries(folder)
    assert was_found(fresh_kernel())
    assert entries(folder) == kept


DAMAGE = {
    "empty": lambda whole: b"",
    "one byte": lambda whole: whole[:1],
    "checksum alone": lambda whole: whole[:32],
    "half": lambda whole: whole[: len(whole) // 2],
    "last byte missing": lambda whole: whole[:-1],
    "zeroed": lambda whole: bytes(len(whole)),
    "zeroed end": lambda whole: whole[:-512] + bytes(512),
    "longer": lambda whole: whole + b"x",
    "text": lambda whole: b"not a kernel\n",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_entry_is_compiled_again(damage: str, fresh_kernel: Callable[[], Any], folder: Path) -> None:
    assert not was_found(fresh_kernel())
    for path, whole in entries(folder).items():
        path.write_bytes(DAMAGE[damage](whole))
    assert not was_found(fresh_kernel())
    assert was_found(fresh_kernel())


def test_no_flipped_bit_reaches_the_processor(fresh_kernel: Callable[[], Any], folder: Path) -> None:
    assert not was_found(fresh_kernel())
    kept = entries(folder)
    for trial in range(24):
        for path, whole in kept.items():
            bit = (2 * trial + 1) * 8 * len(whole) // 48 + trial % 8
            damaged = bytearray(whole)
            damaged[bit // 8] ^= 1 << bit % 8
            path.write_bytes(damaged)
        assert not was_found(fresh_kernel())
    assert was_found(fresh_kernel())


def test_a_file_in_the_folder_s_place_does_no_harm(fresh_kernel: Callable[[], Any], folder: Path) -> None:
    folder.parent.mkdir(parents=True)
    folder.write_text("not a folder")
    assert not was_found(fresh_kernel())
    assert not was_found(fresh_kernel())


@pytest.mark.parametrize("call", ["fsync", "replace", "fdopen"])
def test_a_full_disk_does_no_harm(
    call: str, fresh_kernel: Callable[[], Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, call, full)
    assert not was_found(fresh_kernel())
    assert not entries(folder)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_device_that_is_full_in_the_folder_s_place_does_no_harm(
    fresh_kernel: Callable[[], Any], folder: Path
) -> None:
    folder.parent.mkdir(parents=True)
    folder.symlink_to("/dev/full")
    assert not was_found(fresh_kernel())


def test_an_entry_serves_other_processors_and_types_not(fresh_kernel: Callable[[], Any], folder: Path) -> None:
    assert not was_found(fresh_kernel())
    kernel = fresh_kernel()
    assert kernel(VALUES.astype(np.float32)) == 90
    assert not kernel.stats.cache_hits


def in_another_process(code: str, path: Path, cache: Path) -> str:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": os.pathsep.join([str(path), *sys.path])}
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, env=environment, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_a_change_of_what_a_kernel_inlines_is_seen(tmp_path: Path, folder: Path) -> None:
    package = tmp_path / "some_kernels"
    package.mkdir()
    (package / "__init__.py").touch()
    outer = "from some_kernels.inner import step\nfrom fewflips.kernels.compiled import compiled\n"
    outer += "@compiled\ndef walk(place):\n    return step(place)\n"
    inner = "from some_kernels.sizes import Size\nfrom some_kernels.factors import FACTOR\n"
    inner += "from fewflips.kernels.compiled import compiled\n"
    inner += "@compiled\ndef step(place):\n    return place + {} * Size.SMALL.value * FACTOR\n"
    sizes = "from enum import Enum\nclass Size(Enum):\n    SMALL = {}\n"
    (package / "outer.py").write_text(outer)
    found = []
    for width, size, factor in ((1, 10, 1), (2, 10, 1), (2, 100, 1), (2, 100, 1), (1, 10, 1), (1, 10, 3)):
        (package / "factors.py").write_text(f"FACTOR = {factor}\n")
        (package / "inner.py").write_text(inner.format(width))
        (package / "sizes.py").write_text(sizes.format(size))
        code = "from some_kernels.outer import walk; print(walk(1000), sum(walk.stats.cache_hits.values()))"
        found.append(in_another_process(code, tmp_path, folder.parent).split())
    assert found == [["1010", "0"], ["1020", "0"], ["1200", "0"], ["1200", "1"], ["1010", "1"], ["1030", "0"]]


def test_processes_share_a_folder(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "kernels_of_a_test.py").write_text(KERNELS)
    code = "import numpy, kernels_of_a_test as k; assert k.total(numpy.arange(10)) == 90"
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder.parent)}
    environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path), *sys.path])
    running = [subprocess.Popen([sys.executable, "-c", code], env=environment) for _ in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]
    assert len(entries(folder)) == 2
    code = "import numpy, kernels_of_a_test as k; k.total(numpy.arange(10)); print(len(k.total.stats.cache_misses))"
    assert in_another_process(code, tmp_path, folder.parent) == "0\n"


@pytest.mark.parametrize("damage", ["empty", "half", "zeroed end"])
def test_a_command_survives_a_damaged_cache(damage: str, tmp_path: Path, folder: Path) -> None:
    model = Path(__file__).parents[1] / "src/fewflips/data/mobilenet_v2_cifar10_int8.onnx"
    command = [sys.executable, "-m", "fewflips", "measure", str(model), "--json"]
    environment = {**os.environ, "FEWFLIPS_CACHE": str(folder.parent)}
    environment.pop("NUMBA_CACHE_DIR")
    first = subprocess.run(command, capture_output=True, env=environment, check=True)
    whole = entries(folder)
    assert whole
    for path, content in whole.items():
        path.write_bytes(DAMAGE[damage](content))
    second = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert (second.returncode, second.stderr) == (0, b"")
    assert second.stdout == first.stdout
    assert entries(folder).keys() == whole.keys()
    assert all(len(content) > 512 for content in entries(folder).values())
