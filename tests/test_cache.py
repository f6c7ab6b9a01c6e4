from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fewflips.files.cache import cache_folder, cached, digest_of


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEWFLIPS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def counting(content: bytes, calls: list[int]) -> Callable[[], bytes]:
    def compute() -> bytes:
        calls.append(1)
        return content

    return compute


def test_an_entry_is_computed_once() -> None:
    calls: list[int] = []
    digest = digest_of("a")
    assert cached("kind", digest, counting(b"content", calls)) == b"content"
    assert cached("kind", digest, counting(b"other", calls)) == b"content"
    assert cached("other", digest, counting(b"other", calls)) == b"other"
    assert len(calls) == 2


@pytest.mark.parametrize("damage", ["truncated", "changed", "emptied", "appended"])
def test_a_damaged_entry_is_computed_again(folder: Path, damage: str) -> None:
    calls: list[int] = []
    cached("kind", "d1", counting(b"content", calls))
    entry = folder / "kind" / "d1"
    whole = entry.read_bytes()
    changed = {
        "truncated": whole[:-1],
        "changed": whole[:-1] + b"X",
        "emptied": b"",
        "appended": whole + b"X",
    }
    entry.write_bytes(changed[damage])
    assert cached("kind", "d1", counting(b"content", calls)) == b"content"
    assert len(calls) == 2
    assert entry.read_bytes() == whole


def test_a_folder_in_the_entry_s_place_does_no_harm(folder: Path) -> None:
    (folder / "kind" / "d1").mkdir(parents=True)
    assert cached("kind", "d1", lambda: b"content") == b"content"


def test_a_file_in_the_folder_s_place_does_no_harm(folder: Path) -> None:
    folder.write_text("not a folder")
    assert cached("kind", "d1", lambda: b"content") == b"content"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_does_no_harm(folder: Path) -> None:
    folder.mkdir(mode=0o555)
    assert cached("kind", "d1", lambda: b"content") == b"content"
    assert list(folder.iterdir()) == []


def test_an_error_of_the_computation_leaves_no_entry(folder: Path) -> None:
    def fail() -> bytes:
        raise ValueError("no result")

    with pytest.raises(ValueError, match="no result"):
        cached("kind", "d1", fail)
    assert not (folder / "kind" / "d1").exists()


def _fill(worker: int) -> bool:
    return all(
        cached("kind", str(entry), lambda: b"%d" % entry * 100_000) == b"%d" % entry * 100_000  # noqa: B023
        for _ in range(3)
        for entry in range(20)
    )


def test_processes_share_a_folder(folder: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        assert all(pool.map(_fill, range(6)))
    assert sorted(path.name for path in (folder / "kind").iterdir()) == sorted(str(entry) for entry in range(20))


def test_by_default_entries_are_in_the_user_s_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FEWFLIPS_CACHE")
    assert cache_folder().name == "fewflips"


def test_digests_tell_parts_apart() -> None:
    assert digest_of("ab", "c") != digest_of("a", "bc")
    assert digest_of("a", b"b") == digest_of(b"a", "b")
    assert digest_of() != digest_of("")
