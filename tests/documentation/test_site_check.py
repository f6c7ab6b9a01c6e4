"""What `make docs` would not let pass."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripts.site_check import TRAINING, dead_links, fetches, main, undocumented

import fewflips


def site(folder: Path, body: str = "", head: str = "") -> Path:
    names = [f"fewflips.{name}" for name in fewflips.__all__] + [f"fewflips.training.{name}" for name in TRAINING]
    reference = "".join(f'<dt id="{name}"></dt>' for name in names)
    (folder / "index.html").write_text(f"<html><head>{head}</head><body>{body}</body></html>")
    (folder / "api.html").write_text(f"<html><body>{reference}</body></html>")
    return folder


def test_a_sound_site_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = '<h2 id="here"></h2><a href="#here">a</a><a href="api.html#fewflips.load">b</a><a href="https://x.org">c</a>'
    assert main([str(site(tmp_path, body, '<link rel="stylesheet" href="own.css">'))]) == 0
    assert "2 pages, 0 problems" in capsys.readouterr().out


def test_links_to_missing_files_and_parts_are_found(tmp_path: Path) -> None:
    found = list(
        dead_links(site(tmp_path, '<a href="gone.html">a</a><a href="api.html#gone">b</a><a href="#no">c</a>'))
    )
    assert [problem.rsplit(": ", 1)[1] for problem in found] == ["no such file", "no such part", "no such part"]


@pytest.mark.parametrize(
    "markup",
    [
        '<script src="https://cdn.x.org/a.js"></script>',
        '<link rel="stylesheet" href="//fonts.x.org/a.css">',
        '<img src="http://x.org/a.png">',
        '<object data="https://x.org/a.svg"></object>',
    ],
)
def test_what_a_page_fetches_is_found(tmp_path: Path, markup: str) -> None:
    assert len(list(fetches(site(tmp_path, markup)))) == 1


@pytest.mark.parametrize("style", ["@import 'https://x.org/a.css';", "a { background: url(//x.org/a.png) }"])
def test_what_a_style_fetches_is_found(tmp_path: Path, style: str) -> None:
    (site(tmp_path) / "own.css").write_text(style)
    assert len(list(fetches(tmp_path))) == 1


def test_a_public_name_without_a_place_in_the_reference_is_found(tmp_path: Path) -> None:
    page = site(tmp_path) / "api.html"
    page.write_text(page.read_text().replace('id="fewflips.measure"', ""))
    assert list(undocumented(tmp_path)) == ["fewflips.measure: not in the reference"]


def test_a_public_function_without_an_example_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fewflips.load, "__doc__", "Read a model.")
    assert list(undocumented(site(tmp_path))) == ["fewflips.load: without an example"]


def test_a_folder_without_a_site_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "make docs" in capsys.readouterr().err
