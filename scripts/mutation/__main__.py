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

from fewflips.files.atomic import atomic_write

from .code_digest import code_digest
from .targets import TARGETS, Mutant, draw, mutants_of, source_of

ROOT = Path(__file__).parents[2]
TIME_LIMIT_S = 30
"""Processor time after which a mutant counts as killed: without a mutation, no module's tests take a sixth of this."""
LONGEST_WAIT_S = 20 * TIME_LIMIT_S
"""Wall-clock limit, for a mutant that waits instead of working; a busy machine stays below it."""
LIBRARIES = ("numpy", "numba", "llvmlite.ir", "pydantic", "pytest", "hypothesis.extra.numpy", "scipy.sparse.csgraph")


def main() -> int:
    """Run the mutants asked for; 1 where a module's tests fail without any mutation."""
    parser = argparse.ArgumentParser(prog="python -m scripts.mutation", description=__doc__)
    parser.add_argument("modules", nargs="*", choices=[*TARGETS, []], help="all without any")
    parser.add_argument("--most", type=int, default=1 << 30, help="mutants a module, drawn at random; all by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="a folder for one JSON file a module")
    parser.add_argument("--again", action="store_true", help="only those that survived, by the files in --output")
    parser.add_argument("--further", type=int, help="test this many more mutants of the same draw")
    arguments = parser.parse_args()
    if (arguments.again or arguments.further is not None) and arguments.output is None:
        parser.error("--again and --further: expected --output, the folder with the records of an earlier run")
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
            goes_on = file is not None and (arguments.again or arguments.further is not None)
            before = json.loads(file.read_text()) if file and goes_on else None
            mutants = draw(mutants_of(module, tree), arguments.seed)
            drawn = mutants[: arguments.most]
            if before and arguments.further is not None:
                drawn = mutants[_tested(before) : _tested(before) + arguments.further]
            _run(module, drawn, len(mutants), tree, before, arguments.again, file)
    return 0


def _tested(record: dict[str, Any]) -> int:
    return sum(record["outcomes"].values()) + record.get("unchanged", 0)


def _copy(folder: Path) -> Path:
    for name in ("src", "tests", "scripts"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def _run(
    module: str,
    mutants: list[Mutant],
    possible: int,
    tree: Path,
    before: dict[str, Any] | None,
    again: bool,
    file: Path | None,
) -> None:
    """Test mutants of a module and write the record after each; with one of before, add to it.

    Parameters
    ----------
    module : str
        A key of TARGETS.
    mutants : list of Mutant
        In the order of the draw.
    possible : int
        Mutants that the module has.
    tree : Path
        The copy that is changed.
    before : dict, optional
        Record of an earlier run of the same draw.
    again : bool
        Test only those that survived then.
    file : Path, optional
        Where the record goes.
    """
    path = source_of(module, tree)
    original = path.read_text()
    outcomes: Counter[str] = Counter(before["outcomes"] if before else {})
    survivors = list(before["survivors"]) if before else []
    unchanged = before.get("unchanged", 0) if before else 0
    known = [(entry["line"], entry["change"]) for entry in survivors]
    for mutant in mutants:
        change = _change(original, mutant.code(original))
        if not change:
            unchanged += not again
            continue
        if again:
            if (mutant.line, change) not in known:
                continue
            del survivors[[(entry["line"], entry["change"]) for entry in survivors].index((mutant.line, change))]
            outcomes["survived"] -= 1
        path.write_text(mutant.code(original) or "")
        outcome = _outcome(TARGETS[module], tree)
        outcomes[outcome] += 1
        if outcome == "survived":
            survivors.append({"line": mutant.line, "function": mutant.definition, "change": change})
            print(f"{module}:{mutant.line} {mutant.definition}", *change, sep="\n    ", flush=True)
        if file:
            _write(file, module, possible, code_digest(original), outcomes, unchanged, survivors)
    path.write_text(original)
    total = sum(outcomes.values())
    print(f"{module}: {total - outcomes['survived']} of {total} mutants killed", flush=True)


def _change(original: str, changed: str | None) -> list[str]:
    """The lines that a mutant removes and adds; empty for the module itself."""
    lines = list(difflib.unified_diff(original.splitlines(), (changed or original).splitlines(), n=0, lineterm=""))[2:]
    return [line.strip() for line in lines if line[0] in "+-"]


def _write(
    file: Path,
    module: str,
    possible: int,
    digest: str,
    outcomes: Counter[str],
    unchanged: int,
    survivors: list[dict[str, Any]],
) -> None:
    record = {
        "module": module,
        "tests": TARGETS[module],
        "cosmic_ray": version("cosmic-ray"),
        "possible": possible,
        "code_sha256": digest,
        "outcomes": {name: outcomes[name] for name in sorted({*outcomes, "survived"})},
        "survivors": sorted(survivors, key=lambda entry: entry["line"]),
    }
    if unchanged:
        record["unchanged"] = unchanged
    file.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(file, (json.dumps(record, indent=1) + "\n").encode())


def _outcome(tests: tuple[str, ...], tree: Path) -> str:
    """Run tests in a fork: "survived" where they pass, "killed" where one fails, "timeout"."""
    child = os.fork()
    if child == 0:
        signal.setitimer(signal.ITIMER_PROF, TIME_LIMIT_S)
        signal.alarm(LONGEST_WAIT_S)
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
        return "timeout" if os.WTERMSIG(status) in (signal.SIGPROF, signal.SIGALRM) else "killed"
    return "survived" if os.WEXITSTATUS(status) == 0 else "killed"


if __name__ == "__main__":
    sys.exit(main())
