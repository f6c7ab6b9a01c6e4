"""Folders of results: files, and the manifest that says which of them belong together."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from fewflips.api.optimize import optimize
from fewflips.errors import FewflipsError
from fewflips.files.result_folder import MANIFEST, Manifest, check_belongs, read_manifest, save_together

from ..kinds import Files, MutatedFiles
from ..mutation import raw
from ..mutation.tree import Trees
from ..mutation.values import INTEGERS, STRINGS
from .command import fewflips
from .models import TFLITE, tflite_seeds
from .records import json_changes, model_in

_COMMAND, _OTHER = "fewflips optimize", "fewflips calibrate"
_WRITTEN = {"schedule.json": b"new schedule\n", "report.json": b"new report\n"}
_NAMES = ("..", ".", "model.tflite", "schedule.json", "notes", "notes.txt", MANIFEST, "x" * 255, "a\tb", "report.json")


class Manifests:
    """Changes of a manifest: its tree, and what it says of which file."""

    def __init__(self, seed: bytes) -> None:
        self._trees, self._any = Trees([seed]), json_changes([seed]).change

    def change(self, chance: random.Random, content: bytes) -> bytes:
        """One to a few changes."""
        if chance.random() < 0.5:
            return self._any(chance, MANIFEST, content)
        manifest = json.loads(content)
        for _ in range(1 + int(chance.expovariate(1.0))):
            self._one(chance, manifest)
        return json.dumps(manifest).encode()

    def _one(self, chance: random.Random, manifest: dict[str, Any]) -> None:
        files = manifest["results"].setdefault(chance.choice((_COMMAND, _OTHER, "fewflips demo")), {})
        name, way = chance.choice(_NAMES if chance.random() < 0.5 else STRINGS), chance.random()
        if way < 0.3:
            manifest["outdated"].append(name)
        elif way < 0.5 and files:
            files[name] = files.pop(chance.choice(list(files)))
        elif way < 0.7 and files:
            files[chance.choice(list(files))]["bytes"] = chance.choice(INTEGERS)
        elif way < 0.8 and files:
            del files[chance.choice(list(files))]
        else:
            digest = "".join(chance.choice("0123456789abcdef") for _ in range(64))
            files[name] = {"bytes": chance.randrange(3), "sha256": digest}


def manifest(folder: Path) -> MutatedFiles:
    """A folder of two commands' results, read by `verify`, and then written again by `optimize`."""
    model, output = model_in(folder), folder / "out"
    optimize(model, "edge4", mode="schedule", jobs=1).save(folder / "optimized")
    contents = {"model.tflite": tflite_seeds()[2], "report.json": b"{}\n"}
    contents["schedule.json"] = (folder / "optimized" / "schedule.json").read_bytes()
    save_together(output, _COMMAND, contents)
    save_together(output, _OTHER, {"calibration.md": b"# Calibration\n"})
    seed: Files = {TFLITE: model.read_bytes(), "out/notes.txt": b"the user's\n", "out/notes/kept": b"the user's\n"}
    seed |= {f"out/{path.name}": path.read_bytes() for path in output.iterdir()}
    manifests = Manifests(seed[f"out/{MANIFEST}"])

    def change(chance: random.Random, name: str, content: bytes) -> bytes:
        return manifests.change(chance, content) if name.endswith(MANIFEST) else raw.change(chance, content)

    def entry(inputs: Path) -> None:
        try:
            for name in ("model.tflite", "report.json", "calibration.md"):
                check_belongs(inputs / "out" / name)
            fewflips("verify", inputs / TFLITE, inputs / "out" / "schedule.json", "--json")
        finally:
            _write_again(inputs / "out")

    return MutatedFiles([seed], change, entry, often=(f"out/{MANIFEST}",))


def _write_again(folder: Path) -> None:
    """Whatever the manifest was: the same command makes the folder good again, and leaves others' folders alone."""
    try:
        written = save_together(folder, _COMMAND, _WRITTEN)
        found = read_manifest(folder) or Manifest()
        for path in written:
            check_belongs(path)
    except FewflipsError as error:
        raise AssertionError(f"results cannot be written, or are refused a moment later: {error}") from error
    if {path.name: path.read_bytes() for path in written} != _WRITTEN or found.outdated:
        raise AssertionError("what was written is not what is there")
    if not (folder / "notes" / "kept").exists():
        raise AssertionError("a folder that no command made was removed")
