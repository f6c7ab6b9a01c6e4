"""The outcome of an input: accepted, refused as it should be, or a finding."""

from __future__ import annotations

import contextlib
import io
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass

from fewflips.errors import FewflipsError
from fewflips.visible import LONGEST_LINE, visible

_OURS = ("/src/fewflips/", "/fewflips/")


@dataclass(frozen=True)
class Outcome:
    """Verdict on one input."""

    verdict: str
    """``accepted``, ``refused``, or what kind of finding it is."""
    signature: str = ""
    """Findings with the same signature count as one."""
    detail: str = ""

    @property
    def is_finding(self) -> bool:
        return self.verdict not in ("accepted", "refused")


ACCEPTED = Outcome("accepted")


def judge(run: Callable[[], None]) -> Outcome:
    """Run an entry and judge its outcome."""
    said, printed = io.StringIO(), io.StringIO()
    with (
        warnings.catch_warnings(record=True) as warned,
        contextlib.redirect_stderr(said),
        contextlib.redirect_stdout(printed),
    ):
        warnings.simplefilter("always")
        for ignored in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", ignored)  # Python does not show these to users
        outcome = _called(run)
    if outcome.is_finding:
        return outcome
    if said.getvalue().strip():
        text = said.getvalue().strip()
        return Outcome("stderr", f"stderr: {text.splitlines()[-1][:60]}", text[-2000:])
    if warned:
        first = warned[0]
        return Outcome("warning", f"warning: {first.filename.rpartition('/')[2]}:{first.lineno}", str(first.message))
    if any(visible(line) != line for line in printed.getvalue().split("\n")):
        return Outcome("stdout", "control characters on stdout", ascii(printed.getvalue())[:2000])
    return outcome


def _called(run: Callable[[], None]) -> Outcome:
    try:
        run()
    except FewflipsError as error:
        return _refusal(error)
    except SystemExit as error:
        return ACCEPTED if error.code in (None, 0, 1) else _traceback(error)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever else comes is what a fuzzer looks for
        return _traceback(error)
    return ACCEPTED


def _refusal(error: FewflipsError) -> Outcome:
    line = str(error)
    where = _site(error)
    if not line.strip():
        return Outcome("message", f"empty message at {where}", repr(error))
    if len(line) > LONGEST_LINE:
        return Outcome("message", f"long message at {where}", f"{len(line)} characters: {line[:300]}")
    if visible(line) != line:
        return Outcome("message", f"control characters in the message at {where}", ascii(line)[:2000])
    return Outcome("refused", detail=line)


def _traceback(error: BaseException) -> Outcome:
    kind = "memory" if isinstance(error, MemoryError) else "traceback"
    text = "".join(traceback.format_exception(error, limit=-30))
    return Outcome(kind, f"{type(error).__name__} at {_site(error)}", text[-6000:])


def _site(error: BaseException) -> str:
    """The innermost function of fewflips, and the innermost of all."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if any(part in frame.filename for part in _OURS)]
    named = [f"{frame.filename.rpartition('/')[2]}:{frame.name}" for frame in (*ours[-1:], *frames[-1:])]
    return " < ".join(dict.fromkeys(reversed(named))) or "nowhere"
