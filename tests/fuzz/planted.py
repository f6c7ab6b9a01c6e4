"""Kinds of input with faults: what the fuzzer must find."""

from __future__ import annotations

import os
import random
import resource
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from scripts.fuzz.kinds import Files, Kind

from fewflips.errors import InputError

EVERY = 7
"""The number whose multiples have the fault."""


class Planted:
    """Inputs are one random byte and their fault where it is a multiple of seven; odd ones are refused."""

    def __init__(self, fault: Callable[[], None]) -> None:
        self.fault, self.kept = fault, bytearray()

    def valid(self) -> list[Files]:
        return [{"byte": b"\x02"}]

    def make(self, chance: random.Random) -> Files:
        return {"byte": bytes([chance.randrange(1, 256)])}

    def run(self, folder: Path) -> None:
        value = (folder / "byte").read_bytes()[0]
        if value % EVERY == 0:
            self.fault()
        if value % 2:
            raise InputError(f"expected an even number, got {value}")


def _traceback() -> None:
    raise KeyError("planted")


def _hang() -> None:
    time.sleep(60)


def _memory() -> None:
    _ = os.urandom(1) * (512 << 20)


class _Unsafe(InputError):
    """An error whose text is not made safe to show."""

    def __str__(self) -> str:
        return str(self.args[0])


def _message() -> None:
    raise _Unsafe("red: \x1b[31m")


def _endless_message() -> None:
    raise _Unsafe("x" * 1_000_000)


def faultless(folder: Path) -> Planted:
    return Planted(lambda: None)


def traceback(folder: Path) -> Planted:
    return Planted(_traceback)


def hang(folder: Path) -> Planted:
    return Planted(_hang)


def memory(folder: Path) -> Planted:
    return Planted(_memory)


def crash(folder: Path) -> Planted:
    return Planted(os.abort)


def message(folder: Path) -> Planted:
    return Planted(_message)


def endless_message(folder: Path) -> Planted:
    return Planted(_endless_message)


def warning(folder: Path) -> Planted:
    return Planted(lambda: warnings.warn("planted", RuntimeWarning, stacklevel=1))


def standard_output(folder: Path) -> Planted:
    return Planted(lambda: print("red: \x1b[31m"))


def standard_error(folder: Path) -> Planted:
    return Planted(lambda: print("planted", file=sys.stderr))


def limited(folder: Path) -> Planted:
    """A fault where allocations are limited, as they are but for kinds that start other programs."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)

    def fault() -> None:
        if resource.getrlimit(resource.RLIMIT_AS) != (hard, hard):
            raise KeyError("planted")

    return Planted(fault)


def library_output(folder: Path) -> Planted:
    """What a library in C writes, past Python."""
    return Planted(lambda: os.write(2, b"planted\n") and None)


def kind(name: str, seconds: float = 20.0, programs: bool = False) -> Kind:
    return Kind(name, f"planted {name}", 1.0, f"tests.fuzz.planted:{name}", seconds, programs)
