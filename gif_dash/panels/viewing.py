"""How a page is looked at, beside its question: parts that are hidden (``hide=``), and the lesson that is going on.

Every link carries it, whatever tab it opens.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

#: Parts of the page that ``hide=`` takes away, with what they are. A tab's settings can be named as well.
PARTS = {
    "header": "the headline and the row of lessons",
    "tabs": "the row of tabs",
    "intro": "the sentences above a panel",
    "form": "the settings; Run and its status come back while there is something to say",
    "share": "the buttons that copy and save",
    "words": "the sentences about a result",
    "table": "tables, and the folds below a result",
}


@dataclass
class Viewing:
    """What is shown around the panel.

    Attributes:
        hide: names from `PARTS` and of settings, as in the link.
        lesson: query parameters of the lesson that is going on; empty where there is none.
    """

    hide: tuple[str, ...] = ()
    lesson: Mapping[str, str] | None = None

    def link(self, query: Mapping[str, str]) -> str:
        """``?…`` of a link that restores a panel's state, and how it is looked at."""
        hidden = {"hide": ",".join(self.hide)} if self.hide else {}
        return "?" + urlencode({**query, **hidden}, safe=",")

    def address(self, query: Mapping[str, str]) -> str:
        """``?…`` of the page: the lesson's while one is going on, else the panel's."""
        return self.link(query if self.lesson is None else self.lesson)


def parse_hide(text: str, settings: Iterable[str]) -> tuple[tuple[str, ...], list[str]]:
    """The names in a link's ``hide``, each once, and a sentence for those that are none.

    Args:
        text: of the link, names with commas.
        settings: the names that the tab's settings have in links.
    """
    wanted = dict.fromkeys(name.strip() for name in text.split(",") if name.strip())
    known = {*PARTS, *settings}
    unknown = [name for name in wanted if name not in known]
    said = ", ".join(repr(name[:40]) for name in unknown[:3])
    rule = f"hide takes {', '.join(PARTS)} and names of the tab's settings"
    sentences = [f"The link was not followed in one point: {rule}; got {said}."] if unknown else []
    return tuple(name for name in wanted if name in known), sentences
