"""Which code a record of mutants is of: a module without what no mutant changes."""

from __future__ import annotations

import ast
import hashlib


def code_digest(source: str) -> str:
    """SHA-256 of a module's code, without imports, comments, docstrings and annotations.

    Names that are imported from elsewhere may move, and words be edited, without a record of mutants going stale.
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(body := getattr(node, "body", None), list):
            node.body = [one for one in body if not _left_out(one)]  # type: ignore[attr-defined]
        for name in ("annotation", "returns"):
            if hasattr(node, name):
                setattr(node, name, None)
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _left_out(node: ast.stmt) -> bool:
    text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    checking = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    return text or checking or isinstance(node, ast.Import | ast.ImportFrom)
