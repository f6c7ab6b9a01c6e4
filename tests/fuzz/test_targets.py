"""What some targets look for beside tracebacks, and what they must not do themselves."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from scripts.fuzz.mutation import pictures
from scripts.fuzz.permissions import permissions_count
from scripts.fuzz.targets import arguments, results
from scripts.fuzz.targets.pairs import check_told
from scripts.fuzz.targets.samples import image_bytes

from fewflips.errors import InputError
from fewflips.files.result_folder import MANIFEST


def test_a_tampered_model_that_passes_is_a_finding() -> None:
    check_told(Path("second.tflite"), equal=True)
    check_told(Path("tampered.tflite"), equal=False)
    with pytest.raises(AssertionError, match="one bit was flipped passes"):
        check_told(Path("tampered.tflite"), equal=True)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (2, ""),
        (2, "fewflips: a\nb\n"),
        (2, "fewflips: \x1b[31m\n"),
        (2, "Traceback (most recent call last):\n"),
        (2, f"fewflips: {'x' * 2000}\n"),
        (0, "a warning\n"),
        (139, ""),
    ],
)
def test_commands_that_end_in_another_way_than_in_one_line(code: int, said: str) -> None:
    with pytest.raises(AssertionError, match="expected one line and exit code 2"):
        arguments._judge(code, said, asked_for_help=False)


def test_commands_that_end_as_they_should() -> None:
    arguments._judge(0, "", asked_for_help=False)
    arguments._judge(1, "", asked_for_help=False)
    with pytest.raises(InputError, match="--seed: expected"):
        arguments._judge(2, "fewflips: --seed: expected a number\n", asked_for_help=False)


def test_command_lines_write_to_no_place_outside(tmp_path: Path) -> None:
    """This may run as root: `--output /dev/null` would replace the device."""
    words = [b"optimize", b"--output", b"/dev/null", b"--output=/etc/x", b"--activity", b"../..", b"/kept/input"]
    expected = [b"optimize", b"--output", b"_dev_null", b"--output=_etc_x", b"--activity", b".._..", b"/kept/input"]
    assert arguments._harmless(words) == expected
    target = arguments.quick(tmp_path)
    for i in range(300):
        given = target.make(random.Random(i))["words"].split(b"\0")
        for option, value in zip(given, [*given[1:], b""], strict=True):
            assert b"/" not in (value if option.startswith((b"--output", b"--activity")) else b"")


def test_results_that_are_refused_a_moment_later_are_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise InputError("another file")

    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "kept").touch()
    results._write_again(tmp_path)
    assert (tmp_path / MANIFEST).exists()
    monkeypatch.setattr(results, "check_belongs", refuse)
    with pytest.raises(AssertionError, match="refused a moment later: another file"):
        results._write_again(tmp_path)


def test_permissions_bind_root_within(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("text")
    file.chmod(0)
    with permissions_count(), pytest.raises(PermissionError):
        file.read_text()
    file.chmod(0o600)
    assert file.read_text() == "text"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "WEBP"])
def test_pictures_are_changed_by_their_format(kind: str) -> None:
    """Most changes leave the beginning, by which the format is told, as it is; some make the picture huge."""
    content = image_bytes(kind)
    changed = [pictures.change(random.Random(i), content, (content,)) for i in range(300)]
    assert len(set(changed)) > 200
    assert sum(other[:2] == content[:2] for other in changed) > 200
