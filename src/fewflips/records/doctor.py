"""What an installation has and lacks, as data: the output of ``fewflips doctor --json``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fewflips.records.record import Count, Record


class InstalledPart(Record):
    """A package or a program that fewflips uses."""

    kind: Annotated[
        Literal["needed", "extra", "tool"], Field(description="a dependency, one of an extra, or a program")
    ]
    name: str
    extra: Annotated[str | None, Field(description="the extra that it belongs to")] = None
    version: Annotated[str | None, Field(description="null if it is missing")]
    lowest: Annotated[str | None, Field(description="the lowest version that will do; null if any will")]
    usable: Annotated[bool, Field(description="whether it is there, and new enough")]
    enables: Annotated[str, Field(description="what it is for")]
    install: Annotated[str, Field(description="how to get it, or a newer one")]


class CacheFolder(Record):
    """A folder of results that are kept between runs."""

    name: str
    path: str
    writable: Annotated[bool, Field(description="whether it, or the folder that it would be made in, can be written")]
    entries: Count
    size_bytes: Count
    advice: Annotated[str, Field(description="what to do if it cannot be written; empty if it can")]


class DoctorReport(Record):
    """Result of ``fewflips doctor``."""

    format: Literal["fewflips-doctor"] = "fewflips-doctor"
    version: Literal[1] = 1
    fewflips: Annotated[str, Field(description="version of the package")]
    python: str
    system: str
    processors: Annotated[Count, Field(description="that commands use by default")]
    healthy: Annotated[bool, Field(description="whether everything that is needed is there")]
    parts: tuple[InstalledPart, ...]
    caches: tuple[CacheFolder, ...]
