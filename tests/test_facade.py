"""What `import fewflips` offers: its functions, and every type of the package that they take or give."""

from __future__ import annotations

import inspect
import subprocess
import sys
import typing

import pytest
from numpydoc.validate import validate

import fewflips

FUNCTIONS = [name for name in dir(fewflips) if inspect.isfunction(inspect.unwrap(getattr(fewflips, name)))]


def types_in(annotation: object) -> typing.Iterator[type]:
    """Classes of the package in an annotation, those in unions and containers among them."""
    for part in typing.get_args(annotation):
        yield from types_in(part)
    if inspect.isclass(annotation) and annotation.__module__.startswith("fewflips."):
        yield annotation


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_functions_take_and_give_is_offered(name: str) -> None:
    function = getattr(fewflips, name)
    namespace = {**vars(sys.modules[function.__module__]), **{one: getattr(fewflips, one) for one in dir(fewflips)}}
    hints = typing.get_type_hints(function, namespace)
    missing = {
        found.__name__ for hint in hints.values() for found in types_in(hint) if found.__name__ not in dir(fewflips)
    }
    assert missing == set()


def test_every_name_is_there_and_belongs_to_the_package() -> None:
    assert len(FUNCTIONS) >= 8
    for name in dir(fewflips):
        assert getattr(fewflips, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        fewflips.nothing  # noqa: B018


def test_the_import_itself_loads_nothing_large() -> None:
    program = (
        "import sys, fewflips; dir(fewflips); print(sorted({'numpy', 'numba', 'onnx', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def documented() -> typing.Iterator[str]:
    """Functions of the facade, and methods of its classes; fields of records are described one by one."""
    for name in FUNCTIONS:
        yield f"{getattr(fewflips, name).__module__}.{name}"
    for name in dir(fewflips):
        found = getattr(fewflips, name)
        if inspect.isclass(found):
            own = (one for one, value in vars(found).items() if callable(getattr(found, one)) and one[0] != "_")
            yield from (f"{found.__module__}.{name}.{one}" for one in own if inspect.isroutine(vars(found)[one]))


@pytest.mark.parametrize("path", sorted(set(documented())))
def test_docstrings_have_parameters_and_returns(path: str) -> None:
    """numpydoc's own checks: every parameter described, none that is not there, what comes back, and its type."""
    wanted = {"GL03", "GL06", "GL07", "GL08", "SS01", "PR01", "PR02", "PR03", "PR04", "PR07", "RT01", "RT03"}
    assert [found for found in validate(path)["errors"] if found[0] in wanted] == []


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_have_examples_which_are_run(name: str) -> None:
    """Each is a doctest, of the module in which the function is."""
    assert name in (inspect.getdoc(getattr(fewflips, name)) or "").partition("\nExamples\n")[2]
