"""Mutation tests: `python -m scripts.mutation`; see docs/mutation_testing.md.

Cosmic Ray changes one place of a module at a time, in a copy of the tree; the module's tests have to fail. Every mutant
is tested in a fork of a process that has loaded the libraries already, with kernels as plain Python.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import shutil
import signal
import sys
import tempfile
from collections import Counter
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .targets import TARGETS, Mutant, mutants_of, sample, source_of

ROOT = Path(__file__).parents[2]
TIME_LIMIT_S = 30
"""A mutant whose tests take longer is killed: the tests of no module take a sixth of it."""
LIBRARIES = ("numpy", "numba", "llvmlite.ir", "pydantic", "pytest", "hypothesis.extra.numpy", "scipy.sparse.csgraph")


def main() -> int:
    """Run the mutants asked for; 1 where a module's tests fail without any mutation."""
    parser = argparse.ArgumentParser(prog="python -m scripts.mutation", description=__doc__)
    parser.add_argument("modules", nargs="*", choices=[*TARGETS, []], help="all without any")
    parser.add_argument("--most", type=int, default=1 << 30, help="mutants a module, drawn at random; all by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="a folder for one JSON file a module")
    parser.add_argument("--again", action="store_true", help="only those that survived, by the files in --output")
    arguments = parser.parse_args()
    os.environ["NUMBA_DISABLE_JIT"] = "1"
    sys.dont_write_bytecode = True
    for library in LIBRARIES:
        import_module(library)
    with tempfile.TemporaryDirectory(prefix="fewflips-mutation-") as folder:
        tree = _copy(Path(folder))
        for module in arguments.modules or TARGETS:
            if _outcome(TARGETS[module], tree) != "survived":
                print(f"{module}: its tests fail without any mutation", file=sys.stderr)
                return 1
            file = arguments.output / f"{module.replace('/', '_')}.json" if arguments.output else None
            before = json.loads(file.read_text()) if file and arguments.again else None
            mutants = mutants_of(module, tree)
            record = _run(module, sample(mutants, arguments.most, arguments.seed), tree, before)
            record["possible"] = len(mutants)
            if file:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(json.dumps(record, indent=1) + "\n")
    return 0


def _copy(folder: Path) -> Path:
    for name in ("src", "tests", "scripts"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def _run(module: str, mutants: list[Mutant], tree: Path, before: dict[str, Any] | None) -> dict[str, Any]:
    """Test the mutants of a module; with a record of an earlier run of the same module, those that survived in it."""
    path = source_of(module, tree)
    original = path.read_text()
    outcomes: Counter[str] = Counter(before["outcomes"] if before else {})
    again = [(entry["line"], entry["change"]) for entry in before["survivors"]] if before else None
    outcomes["survived"] = 0
    survivors = []
    for mutant in mutants:
        changed = mutant.code(original)
        if changed is None or changed == original:
            continue
        lines = list(difflib.unified_diff(original.splitlines(), changed.splitlines(), n=0, lineterm=""))[2:]
        change = [line.strip() for line in lines if line[0] in "+-"]
        if again is not None and (mutant.line, change) not in again:
            continue
        path.write_text(changed)
        outcome = _outcome(TARGETS[module], tree)
        outcomes[outcome] += 1
        if outcome == "survived":
            survivors.append({"line": mutant.line, "function": mutant.definition, "change": change})
            print(f"{module}:{mutant.line} {mutant.definition}", *change, sep="\n    ", flush=True)
    path.write_text(original)
    total = sum(outcomes.values())
    print(f"{module}: {total - outcomes['survived']} of {total} mutants killed", flush=True)
    return {
        "module": module,
        "tests": TARGETS[module],
        "cosmic_ray": version("cosmic-ray"),
        "outcomes": dict(sorted(outcomes.items())),
        "survivors": survivors,
    }


def _outcome(tests: tuple[str, ...], tree: Path) -> str:
    """Run tests in a fork: "survived" where they pass, "killed" where one fails, "timeout"."""
    child = os.fork()
    if child == 0:
        signal.alarm(TIME_LIMIT_S)
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        os.chdir(tree)
        sys.path[:0] = [str(tree / "src"), str(tree)]
        for name in [name for name in sys.modules if name.split(".")[0] in ("fewflips", "scripts", "tests")]:
            del sys.modules[name]
        import pytest

        options = ["-q", "-x", "-p", "no:cacheprovider", "-p", "no:randomly", "-p", "scripts.mutation.plain_python"]
        try:
            code = int(pytest.main([*options, *tests]))
        except BaseException:
            code = 99
        os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return "timeout" if os.WTERMSIG(status) == signal.SIGALRM else "killed"
    return "survived" if os.WEXITSTATUS(status) == 0 else "killed"


if __name__ == "__main__":
    sys.exit(main())
