"""What the tests of the documentation read: blocks of code in order, and pages of the built site."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def blocks(page: Path) -> list[tuple[str, str]]:
    """The fenced blocks of a page, in order: language and text."""
    return re.findall(r"^```(\w+)\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


@dataclass
class Built(HTMLParser):
    """A page of the site: its anchors, its links, and what it loads by itself."""

    path: Path
    anchors: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        text = self.path.read_text(encoding="utf-8")
        self.feed(text)
        self.loaded += styled(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.anchors.update(values[name] for name in ("id", "name") if name in values)
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag == "link" and "href" in values:
            self.loaded.append(values["href"])
        else:
            self.loaded += [values[name] for name in ("src", "data", "poster") if name in values]
            self.loaded += [part.split()[0] for part in values.get("srcset", "").split(",") if part.strip()]

    def target(self, link: str) -> tuple[Path, str]:
        """File and anchor of a link within the site."""
        address, anchor = urldefrag(link)
        path = (self.path.parent / unquote(address)).resolve() if address else self.path
        return path, unquote(anchor)


def styled(text: str) -> list[str]:
    """Addresses in style sheets."""
    found = re.findall(r"""url\(\s*["']?([^"')]+)|@import\s+["']([^"']+)""", text)
    return [one or other for one, other in found]


def outside(address: str) -> bool:
    """Whether an address is that of another host."""
    parts = urlsplit(address.strip())
    return bool(parts.netloc) or parts.scheme in ("http", "https", "ftp")
