"""Follow the tutorials by their text alone: `python scripts/tutorial_examples.py [--write] [PAGE ...]`.

Each page of docs/tutorials is followed in a folder of its own, which is empty at first:

- a file that the page links to below ``files/`` is put into the folder;
- a block whose first line is a comment with a file's name (``# machine.yaml``) is saved under that name;
- every line of a ``console`` block that starts with ``$`` is run, and must print what the page says below it.

Where results of floating-point arithmetic may differ from machine to machine, the page says before the block by how
much (``<!-- within 20 % -->``): the text between the numbers must still be the same. ``--write`` puts what is printed
into the pages.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "tutorials"
WIDTH = "100"

_BLOCK = re.compile(r"(?:<!-- within (\d+) % -->\n\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"\]\(files/([\w.\-]+)\)")
_NAME = re.compile(r"(?:#|//) ([\w\-]+\.\w+)\n")
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:[.,]\d+)*")


class UnlikePage(Exception):
    """A command that failed, or that printed something else than the page says."""


def tutorial_pages() -> list[Path]:
    """All tutorials."""
    return sorted(page for page in FOLDER.glob("*.md") if page.name != "index.md")


def followed(page: str, folder: Path) -> str:
    """Follow a page in an empty folder.

    Parameters
    ----------
    page : str
        Its text.
    folder : Path
        Where its files lie and its commands run.

    Returns
    -------
    str
        The page with what its commands print now; output within a block's tolerance is left as it is.

    Raises
    ------
    UnlikePage
        If a command ends with another exit code than 0.
    """
    for name in dict.fromkeys(_FILE.findall(page)):
        shutil.copy(FOLDER / "files" / name, folder)

    def replace(match: re.Match[str]) -> str:
        tolerance, language, text = match.groups()
        if language != "console":
            if name := _NAME.match(text):
                (folder / name.group(1)).write_text(text, encoding="utf-8")
            return match.group()
        printed = _console(text, folder)
        if tolerance is not None and alike(text, printed, int(tolerance)):
            return match.group()
        start, end = match.span(3)
        return page[match.start() : start] + printed + page[end : match.end()]

    return _BLOCK.sub(replace, page)


def alike(expected: str, got: str, percent: int) -> bool:
    """Whether two texts are equal but for numbers that differ by so many percent at most; padding does not count.

    >>> alike("flips: 100", "flips:  95", 10), alike("flips: 100", "flips: 80", 10), alike("flips: 1", "ones: 1", 10)
    (True, False, False)
    """

    def words(text: str) -> str:
        return " ".join(_NUMBER.sub("0", text).split())

    if words(expected) != words(got):
        return False
    pairs = zip(_NUMBER.findall(expected), _NUMBER.findall(got), strict=True)
    values = [(float(one.replace(",", "")), float(other.replace(",", ""))) for one, other in pairs]
    return all(abs(one - other) <= percent / 100 * abs(one) for one, other in values)


def _console(text: str, folder: Path) -> str:
    """The block with the current output of each of its commands; a command goes on after a backslash."""
    result, lines = [], iter(text.splitlines())
    for line in lines:
        if not line.startswith("$ "):
            continue
        command = [line]
        while command[-1].endswith("\\"):
            command.append(next(lines))
        whole = "\n".join(command)
        result.append(whole + "\n" + _printed(whole[2:], folder))
    return "".join(result)


def _printed(command: str, folder: Path) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    environment = {**os.environ, "COLUMNS": WIDTH, "PATH": path}
    words = ["sh", "-c", command]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnlikePage(f"{command}: exit code {done.returncode}\n{done.stderr}")
    return "".join(line.rstrip() + "\n" for line in done.stdout.splitlines())


def main(words: list[str] | None = None) -> int:
    """Follow all pages, or those that are named; 2 where one does not show what is printed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="put what is printed into the pages")
    parser.add_argument("pages", nargs="*", type=Path, help="all of them by default")
    arguments = parser.parse_args(words)
    unlike = []
    for path in arguments.pages or tutorial_pages():
        before = path.read_text(encoding="utf-8")
        with tempfile.TemporaryDirectory() as folder:
            try:
                after = followed(before, Path(folder))
            except UnlikePage as error:
                unlike.append(f"{path.name}: {error}")
                continue
        if arguments.write:
            path.write_text(after, encoding="utf-8")
        elif before != after:
            unlike.append(f"{path.name} does not show what it prints: run scripts/tutorial_examples.py --write")
    for problem in unlike:
        print(problem, file=sys.stderr)
    return 2 if unlike else 0


if __name__ == "__main__":
    sys.exit(main())
