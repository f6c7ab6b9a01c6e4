"""What every page is made with: templates, style, scripts."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fewflips.report.numbers import as_percent, with_si_prefix, with_thin_spaces
from fewflips.visible import printable


def page_environment() -> Environment:
    """The templates, with filters for figures and names; everything is escaped."""
    environment = Environment(
        loader=PackageLoader("fewflips.report.html", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        count=with_thin_spaces, si=with_si_prefix, percent=as_percent, printable=printable, breakable=_breakable
    )
    return environment


def asset(name: str) -> str:
    """The text of a style or a script."""
    return (files("fewflips.report.html") / "templates" / name).read_text(encoding="utf-8")


def script_hash(script: str) -> str:
    """What a content security policy allows a script by: its SHA-256 in Base64."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _breakable(name: str) -> Markup:
    """A name that may wrap after each part of its path."""
    parts = re.split(r"(?<=[/;:.])", printable(name))
    return Markup("<wbr>").join(parts)
