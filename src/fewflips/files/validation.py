"""Problems that pydantic found in a file, in one line."""

from __future__ import annotations

import reprlib

from pydantic import ValidationError


def describe_validation_error(error: ValidationError) -> str:
    """Every problem that pydantic found, in one line."""
    problems = []
    for problem in error.errors(include_url=False):
        where = ".".join(str(part) for part in problem["loc"]) or "file"
        problems.append(f"{where}: {problem['msg']}, got {bounded_text(problem['input'])}")
    return "; ".join(problems)


def bounded_text(value: object) -> str:
    """A short representation of any value, however long it is."""
    try:
        return reprlib.repr(value)
    except ValueError:  # Python refuses to print integers of thousands of digits
        return f"a value of type {type(value).__name__} too long to print"
