"""A name of a public class stands for one class, so that a reader who meets it knows which one is meant."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import fewflips


def public_classes(module: Path) -> Iterator[str]:
    """Names of the classes that a module defines, outside functions and other classes."""
    for node in ast.parse(module.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield node.name


def defined_twice(package: Path) -> dict[str, list[str]]:
    modules = defaultdict(list)
    for module in sorted(package.rglob("*.py")):
        for name in public_classes(module):
            modules[name].append(module.relative_to(package).as_posix())
    assert len(modules) > 1
    return {name: found for name, found in modules.items() if len(found) > 1}


def test_no_public_class_name_is_defined_in_two_modules():
    assert defined_twice(Path(fewflips.__file__).parent) == {}


def test_a_second_definition_is_found(tmp_path: Path):
    (tmp_path / "first.py").write_text("class Step:\n    pass\nclass _Own:\n    pass\n")
    (tmp_path / "second.py").write_text("class Step:\n    pass\nclass Other:\n    pass\nclass _Own:\n    pass\n")
    assert defined_twice(tmp_path) == {"Step": ["first.py", "second.py"]}
