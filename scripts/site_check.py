"""Check the built documentation: `python -m scripts.site_check [FOLDER]`.

- Every public name has its place in the reference, and every public function an example there.
- Every link within the site leads to a file, and to a part of it where it names one.
- No page fetches anything from elsewhere: no script, style, font or picture. (A link to another site is no fetch.)
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import fewflips

DEFAULT = Path("build/site")
TRAINING = ("HammingLoss", "HammingOptions", "SwitchingLoss", "TrainingConfig", "load_config", "train")
_STYLE_FETCH = re.compile(r"(?:@import\s+|url\(\s*)[\"']?\s*((?:https?:)?//[^\"')\s]+)")


class _Page(HTMLParser):
    """What a page refers to, and the parts of it that have a name."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.names: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.names.update(filter(None, (given.get("id"), given.get("name") if tag == "a" else None)))
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "link" and not {"canonical", "alternate", "next", "prev"} & set(given.get("rel", "").split()):
            self.fetched.append(given.get("href", ""))
        elif tag != "a":
            self.fetched += [given[name] for name in ("src", "data", "poster", "xlink:href") if name in given]


@cache
def read_page(path: Path) -> _Page:
    """A page's references and names."""
    page = _Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def undocumented(site: Path) -> Iterator[str]:
    """Public names that no page describes, and public functions without an example."""
    described = set().union(*(read_page(path).names for path in site.rglob("*.html")))
    names = [f"fewflips.{name}" for name in fewflips.__all__ if name != "__version__"]
    names += [f"fewflips.training.{name}" for name in TRAINING]
    yield from (f"{name}: not in the reference" for name in names if name not in described)
    for name in fewflips.__all__:
        found = getattr(fewflips, name)
        if inspect.isfunction(inspect.unwrap(found)) and ">>> " not in (inspect.getdoc(found) or ""):
            yield f"fewflips.{name}: without an example"


def dead_links(site: Path) -> Iterator[str]:
    """Links to files that are not there, or to parts that their pages do not have."""
    for path in sorted(site.rglob("*.html")):
        for link in read_page(path).links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path.resolve()
            if not target.is_file():
                yield f"{path.relative_to(site)}: {link}: no such file"
            elif parts.fragment and target.suffix == ".html" and unquote(parts.fragment) not in read_page(target).names:
                yield f"{path.relative_to(site)}: {link}: no such part"


def fetches(site: Path) -> Iterator[str]:
    """Whatever a browser would fetch from another machine."""
    for path in sorted(site.rglob("*.html")):
        for source in read_page(path).fetched:
            if urlsplit(source).netloc:
                yield f"{path.relative_to(site)}: fetches {source}"
    for path in sorted([*site.rglob("*.css"), *site.rglob("*.svg")]):
        for source in _STYLE_FETCH.findall(path.read_text(encoding="utf-8")):
            yield f"{path.relative_to(site)}: fetches {source}"


def main(words: list[str] | None = None) -> int:
    """Print what is wrong; 2 where anything is."""
    given = sys.argv[1:] if words is None else words
    site = Path(given[0]) if given else DEFAULT
    if not (site / "index.html").is_file():
        print(f"{site}: expected a built site, got no index.html; run `make docs`", file=sys.stderr)
        return 2
    problems = [*undocumented(site), *dead_links(site), *fetches(site)]
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{site}: {len(list(site.rglob('*.html')))} pages, {len(problems)} problems")
    return 2 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
