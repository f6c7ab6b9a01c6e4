"""The tutorials, followed by their text alone in an empty folder, print what they say."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from scripts.tutorial_examples import UnlikePage, alike, followed, tutorial_pages


@pytest.mark.parametrize("page", tutorial_pages(), ids=lambda page: page.stem)
def test_a_tutorial_prints_what_it_says(page: Path, tmp_path: Path) -> None:
    if page.stem == "training-loop":
        pytest.importorskip("torch", reason="PyTorch (extra `train`) is not installed")
    if page.stem == "schedule-to-hardware" and shutil.which("iverilog") is None:
        pytest.skip("iverilog was not found: run `make setup-test` as root, or install it")
    text = page.read_text(encoding="utf-8")
    assert followed(text, tmp_path) == text


def test_there_are_five_with_something_to_run_each() -> None:
    assert len(tutorial_pages()) == 5
    assert all("```console\n$ " in page.read_text(encoding="utf-8") for page in tutorial_pages())


def test_output_that_differs_is_replaced_and_files_are_written(tmp_path: Path) -> None:
    page = "```python\n# say.py\nprint(6 * 7)\n```\n\n```console\n$ python say.py\n41\n$ ls\n```\n"
    assert followed(page, tmp_path) == page.replace("41\n$ ls\n", "42\n$ ls\nsay.py\n")


def test_a_command_goes_on_after_a_backslash(tmp_path: Path) -> None:
    page = "```console\n$ echo one \\\n    two\none two\n```\n"
    assert followed(page, tmp_path) == page


def test_numbers_within_the_tolerance_stay_as_they_are(tmp_path: Path) -> None:
    page = "<!-- within 10 % -->\n\n```console\n$ echo 100 flips\n95 flips\n```\n"
    assert followed(page, tmp_path) == page
    assert followed(page.replace("95", "50"), tmp_path) == page.replace("95", "100")


def test_a_command_that_fails_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UnlikePage, match="exit code 3"):
        followed("```console\n$ exit 3\n```\n", tmp_path)


@pytest.mark.parametrize(
    ("expected", "got", "same"),
    [
        ("1,000 flips", "1,050 flips", True),
        ("1,000 flips", "1,200 flips", False),
        ("10 flips", "10 ones", False),
        ("10 flips", "10 flips, 3 seams", False),
        ("x2 at 0.50", "x3 at 0.50", False),
        ("-4 points", "4 points", False),
    ],
)
def test_alike_compares_numbers_and_words(expected: str, got: str, same: bool) -> None:
    assert alike(expected, got, 10) is same
