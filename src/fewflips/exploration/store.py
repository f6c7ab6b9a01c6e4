"""Results by their content's key, in one SQLite file that several processes may use at a time."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from pathlib import Path

from fewflips.errors import OutputError
from fewflips.files.cache import cache_folder, digest_of
from fewflips.version import __version__

_BUSY_S = 60.0
_AT_A_TIME = 500
_SCHEMA = "CREATE TABLE IF NOT EXISTS results (key TEXT PRIMARY KEY, content BLOB NOT NULL) WITHOUT ROWID"


class Store:
    """A mapping from keys to bytes that outlives the process.

    What is put is there at once, whole, or not at all; a key is only ever put with the same content, so that it does
    not matter who comes first.

    Parameters
    ----------
    path : Path or None
        The file, made if it is missing; by default ``explorations.sqlite`` in the cache folder.

    Raises
    ------
    OutputError
        If it cannot be opened, or is not such a file.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = Path(path) if path is not None else cache_folder() / "explorations.sqlite"
        with self._errors():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self.path, timeout=_BUSY_S, isolation_level=None)
            self._connection.execute(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def get(self, keys: Iterable[str]) -> dict[str, bytes]:
        """What is there of some keys.

        Parameters
        ----------
        keys : iterable of str
            Results of :func:`key_of`.

        Returns
        -------
        dict of str to bytes
            Content by key; keys without content, or with damaged content, are left out.
        """
        wanted = list(dict.fromkeys(keys))
        found: dict[str, bytes] = {}
        with self._errors():
            for first in range(0, len(wanted), _AT_A_TIME):
                part = wanted[first : first + _AT_A_TIME]
                marks = ", ".join("?" * len(part))
                rows = self._connection.execute(f"SELECT key, content FROM results WHERE key IN ({marks})", part)
                for key, content in rows:
                    try:
                        found[key] = zlib.decompress(content)
                    except (zlib.error, TypeError):
                        continue  # damaged: computed again, and replaced
        return found

    def put(self, contents: Mapping[str, bytes]) -> None:
        """Add results, all of them or none.

        Parameters
        ----------
        contents : mapping of str to bytes
            Content by key.
        """
        rows = [(key, zlib.compress(content)) for key, content in contents.items()]
        with self._errors():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._connection.executemany("INSERT OR REPLACE INTO results VALUES (?, ?)", rows)
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise OutputError(
                f"store {self.path}: cannot be used: {reason}; give another file (--store), or remove this one"
            ) from error


def key_of(*parts: bytes | str) -> str:
    """Key of a result: a digest of everything that it follows from, the package's own sources included."""
    return digest_of(_sources(), *parts)


@cache
def _sources() -> str:
    """Digest of the package: its version, and its sources, as two checkouts may have the same version."""
    root = Path(str(files("fewflips")))
    sources = sorted(path for suffix in ("*.py", "*.j2") for path in root.rglob(suffix))
    return digest_of(__version__, *(part for path in sources for part in (path.name, path.read_bytes())))
