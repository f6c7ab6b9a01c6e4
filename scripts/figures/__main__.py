"""Write the tables and the prose's figures of the README and of docs from their records: `python -m scripts.figures`.

Tables stand between marks (``<!-- table: NAME -->``), figures in running text in fragments that
``scripts/figures/registry.toml`` lists. With ``--check`` nothing is written.
"""

from __future__ import annotations

import argparse
import sys

from fewflips.errors import FewflipsError, InputError
from fewflips.files.atomic import atomic_write

from .origin import ROOT
from .pages import page_paths, with_figures
from .prose import PageRegistry, read_registry, unregistered


def main(words: list[str] | None = None) -> int:
    """Write all pages; 2 where a figure differs (with ``--check``), or one is held by nothing."""
    parser = argparse.ArgumentParser(prog="python -m scripts.figures", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    arguments = parser.parse_args(words)
    try:
        return 2 if [problem for problem in _problems(arguments.check) if _say(problem)] else 0
    except (FewflipsError, OSError) as error:
        _say(str(error))
        return 2


def _problems(check: bool) -> list[str]:
    registry, problems = read_registry(), []
    everywhere = registry.get("everywhere", PageRegistry())
    for path in page_paths():
        page = path.relative_to(ROOT).as_posix()
        before, own = path.read_text(encoding="utf-8"), registry.get(page, PageRegistry())
        try:
            after = with_figures(before, own)
            problems += [f"{page}: held by nothing: {found}" for found in unregistered(after, own, everywhere)]
        except InputError as error:
            problems.append(f"{page}: {error}")
            continue
        if before != after and check:
            problems.append(f"{page}: not as its records have it: run `python -m scripts.figures`")
        elif before != after:
            atomic_write(path, after.encode())
    return problems


def _say(problem: str) -> bool:
    print(f"figures: {problem}", file=sys.stderr)
    return True


if __name__ == "__main__":
    sys.exit(main())
