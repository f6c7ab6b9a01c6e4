"""Runtimes that stand in for LiteRT: modules that a test writes, with what a session does."""

from __future__ import annotations

import importlib
import sys
import textwrap
from pathlib import Path

import pytest

from fewflips.execution.sessions import RUNTIMES

_MODULE = """\
from fewflips.execution.sessions import ModelRuntime

class StandIn(ModelRuntime):
    file_format, name = "tflite", "LiteRT"

    def open(self, path, fetch):
        return Session(str(path), fetch)

"""


def write_stand_in(folder: Path, name: str, session: str) -> None:
    """A module with a runtime whose `open` calls the `Session` that `session` defines."""
    (folder / f"{name}.py").write_text(_MODULE + textwrap.dedent(session))


def stand_in(folder: Path, name: str, session: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let such a module run TFLite files for the rest of a test; worker processes import it from the folder."""
    write_stand_in(folder, name, session)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(RUNTIMES._parts, "tflite", importlib.import_module(name).StandIn())
