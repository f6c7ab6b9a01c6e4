"""Examples in docstrings run in a folder of their own, with the files of the tutorials in it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

FILES = Path(__file__).parent.parent / "docs" / "tutorials" / "files"


@pytest.fixture(autouse=True)
def _example(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give an example its files, and forget what it registers."""
    text = request.node.dtest.docstring if isinstance(request.node, pytest.DoctestItem) else ""
    if "fewflips." not in text:
        yield
        return
    import fewflips
    from fewflips.execution.sessions import RUNTIMES
    from fewflips.machine.coding_names import CODINGS
    from fewflips.machine.dataflow_names import DATAFLOWS
    from fewflips.network.reading import READERS
    from fewflips.optimization.registration import STEPS

    for name in ("shapes.onnx", "shapes_onnx.npz"):
        shutil.copy(FILES / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    for registry in (RUNTIMES, CODINGS, DATAFLOWS, READERS, STEPS):
        monkeypatch.setattr(registry, "_parts", dict(registry._parts))
    monkeypatch.setitem(request.node.dtest.globs, "fewflips", fewflips)
    yield
