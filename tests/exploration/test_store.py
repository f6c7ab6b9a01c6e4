"""The store of results: whole or not at all, for several processes, whatever happens to the file."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from fewflips.errors import OutputError
from fewflips.exploration.store import Store, key_of
from tests.patience import PATIENCE_S

WRITER = """
import sys
from pathlib import Path
from fewflips.exploration.store import Store
store = Store(Path(sys.argv[1]))
for number in range(40):
    store.put({f"{sys.argv[2]}-{number}-{part}": b"x" * number for part in range(5)})
"""


def test_what_is_put_is_found_by_another_store(tmp_path):
    first = Store(tmp_path / "results.sqlite")
    first.put({"a": b"1", "b": b""})
    assert Store(tmp_path / "results.sqlite").get(["a", "b", "c"]) == {"a": b"1", "b": b""}


def test_more_keys_than_one_statement_takes(tmp_path):
    store = Store(tmp_path / "results.sqlite")
    contents = {str(number): bytes([number % 256]) for number in range(2345)}
    store.put(contents)
    assert store.get(contents) == contents


def test_all_of_a_put_or_nothing(tmp_path):
    store = Store(tmp_path / "results.sqlite")
    with pytest.raises(TypeError):
        store.put({"a": b"1", "b": None})  # type: ignore[dict-item]
    with pytest.raises(OutputError):
        store.put({"c": b"1", None: b"2"})  # type: ignore[dict-item]
    assert store.get(["a", "b", "c"]) == {}
    store.put({"a": b"2"})
    assert store.get(["a"]) == {"a": b"2"}


def test_several_processes_write_at_a_time(tmp_path):
    path = tmp_path / "results.sqlite"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), name]) for name in "abc"]
    assert [writer.wait(timeout=PATIENCE_S) for writer in writers] == [0, 0, 0]
    keys = [f"{name}-{number}-{part}" for name in "abc" for number in range(40) for part in range(5)]
    assert {key: len(value) for key, value in Store(path).get(keys).items()} == {
        key: int(key.split("-")[1]) for key in keys
    }


def test_damaged_content_is_as_good_as_none(tmp_path):
    path = tmp_path / "results.sqlite"
    Store(path).put({"a": b"1", "b": b"2"})
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE results SET content = x'00ff' WHERE key = 'a'")
    assert Store(path).get(["a", "b"]) == {"b": b"2"}


@pytest.mark.parametrize(
    "content", [b"not a database at all, but long enough to be read as one" * 20, b"SQLite format 3\0" + b"\xff" * 200]
)
def test_another_file_is_refused(tmp_path, content):
    path = tmp_path / "results.sqlite"
    path.write_bytes(content)
    with pytest.raises(OutputError, match=r"cannot be used: .*give another file \(--store\)"):
        Store(path)
    assert path.read_bytes() == content


def test_a_folder_is_refused(tmp_path: Path):
    with pytest.raises(OutputError, match="cannot be used"):
        Store(tmp_path)


def test_keys_tell_parts_apart():
    assert key_of("ab", "c") != key_of("a", "bc")
    assert key_of("a") == key_of("a")
