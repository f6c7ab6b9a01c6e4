"""Run the examples of README.md and docs/commands.md: `python scripts/readme_examples.py [--write]`.

Every line of a ``console`` block that starts with ``$ fewflips`` or ``$ python`` is run in the repository's root, and
every ``python`` block is executed; what they print must be what the page says below them. ``--write`` puts what
they print in its place. Other commands (``make``, ``pip``) are left to the reader: the gate runs them.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", ROOT / "docs" / "commands.md")
BLOCK = re.compile(r"```(console|python)\n(.*?)```(?:\n\n```text\n(.*?)```)?", re.DOTALL)
WIDTH = "100"


def run(command: list[str]) -> str:
    """Standard output of a command, in the repository's root, at a fixed width."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    environment = {**os.environ, "COLUMNS": WIDTH, "PATH": path}
    finished = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if finished.returncode:
        raise SystemExit(f"{' '.join(command)}: exit code {finished.returncode}\n{finished.stderr}")
    return "\n".join(line.rstrip() for line in finished.stdout.splitlines()) + "\n" if finished.stdout else ""


def console_block(text: str) -> str:
    """The block with the current output of each of its commands."""
    result, keep = [], True
    for line in text.splitlines():
        if line.startswith("$ "):
            keep = not line.startswith(("$ fewflips", "$ python"))
            result.append(line + "\n")
            if not keep:
                result.append(run(["sh", "-c", line[2:]]))
        elif keep:
            result.append(line + "\n")
    return "".join(result)


def python_block(code: str) -> str:
    """Output of a block of Python."""
    with tempfile.NamedTemporaryFile("w", suffix=".py", delete=False) as file:
        file.write(code)
    try:
        return run([sys.executable, file.name])
    finally:
        Path(file.name).unlink()


def renewed(page: str) -> str:
    """A page with the current output of every example."""

    def replace(match: re.Match[str]) -> str:
        kind, text, output = match.groups()
        if kind == "console":
            return f"```console\n{console_block(text)}```"
        printed = python_block(text)
        return f"```python\n{text}```" + (f"\n\n```text\n{printed}```" if output is not None else "")

    return BLOCK.sub(replace, page)


def main() -> None:
    """Check the pages, or rewrite them."""
    unlike = []
    for path in PAGES:
        before = path.read_text(encoding="utf-8")
        after = renewed(before)
        if "--write" in sys.argv[1:]:
            path.write_text(after, encoding="utf-8")
        elif before != after:
            unlike.append(path.name)
    if unlike:
        names = " and ".join(unlike)
        raise SystemExit(f"{names}: not what the examples print: run scripts/readme_examples.py --write")


if __name__ == "__main__":
    main()
