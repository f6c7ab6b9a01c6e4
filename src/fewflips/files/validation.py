"""Problems that pydantic found in a file, in one line."""

from __future__ import annotations

import re
import reprlib
import typing
from collections.abc import Iterable

from pydantic import BaseModel, ValidationError

from fewflips.near_misses import did_you_mean


def describe_validation_error(error: ValidationError, model: type[BaseModel] | None = None) -> str:
    """Every problem that pydantic found, in one line.

    Parameters
    ----------
    error : ValidationError
        The problems.
    model : type of BaseModel, optional
        What the content was read as. With it, the nearest known key is suggested for an unknown one; the nearest of
        several values always is.

    Returns
    -------
    str
        Where each problem is, what it is, and what was there.
    """
    problems = []
    for problem in error.errors(include_url=False):
        where = ".".join(str(part) for part in problem["loc"]) or "file"
        given, known = problem["input"], _choices(problem["msg"])
        if problem["type"] == "extra_forbidden" and model is not None:
            *parents, given = problem["loc"]
            known = _keys(model, parents)
        suggestion = did_you_mean(given, known) if isinstance(given, str) else ""
        problems.append(f"{where}: {problem['msg']}, got {bounded_text(problem['input'])}{suggestion}")
    return "; ".join(problems)


def bounded_text(value: object) -> str:
    """A short representation of any value, however long it is."""
    try:
        return reprlib.repr(value)
    except ValueError:  # Python refuses to print integers of thousands of digits
        return f"a value of type {type(value).__name__} too long to print"


def _choices(message: str) -> set[str]:
    """Values that a message says were expected: in quotes, as pydantic has them, or after ours."""
    _, found, listed = message.partition("expected one of ")
    return set(listed.split(", ")) if found else set(re.findall(r"'([^']+)'", message))


def _keys(model: type[BaseModel], parents: Iterable[str | int]) -> set[str]:
    """Keys of the records at a place in a model; of all that it may be where there are several."""
    models = {model}
    for part in parents:
        inside = {
            found
            for one in models
            for name, field in one.model_fields.items()
            if part in (name, field.alias)
            for found in _models_in(field.annotation)
        }
        models = inside or models  # an index, a key of a mapping, or the name of an alternative
    return {field.alias or name for one in models for name, field in one.model_fields.items()}


def _models_in(annotation: object) -> set[type[BaseModel]]:
    """Records in an annotation, those in unions and containers among them."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return {found for part in typing.get_args(annotation) for found in _models_in(part)}
