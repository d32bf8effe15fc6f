"""Tables as accessible HTML, and small words for numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import pandas as pd


class Html(str):
    """Text that is HTML already (swatches, for example): tables do not escape it."""

    __slots__ = ()


def number(value: Any, decimals: int = 3) -> str:
    """A number for people: fixed decimals, powers of ten where those would say nothing, a dash where there is none."""
    if value is None or not isinstance(value, (int, float)) or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value != 0 and (abs(value) >= 1e5 or (decimals > 0 and abs(value) < 0.5 * 10**-decimals)):
        return _power(value, 2)
    return f"{value:.{decimals}f}".replace("-", "−")


def _power(value: float, digits: int) -> str:
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    return f"{mantissa.replace('-', '−')}·10{str(int(exponent)).translate(_SUPERSCRIPT)}"


_SUPERSCRIPT = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def significant(value: Any, digits: int = 3) -> str:
    """A number with that many significant digits."""
    if not isinstance(value, (int, float)) or not math.isfinite(value) or value == 0:
        return number(value, 0)
    if not 1e-3 <= abs(value) < 1e5:
        return _power(value, digits)
    return number(value, max(0, digits - 1 - math.floor(math.log10(abs(value)))))


def duration(seconds: float) -> str:
    """A time for people: "0.4 s", "12 s", "3 min 20 s"."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def clipped(text: str) -> Html:
    """A name of any length, from people or data: as long as there is room, in full as its title; never as HTML."""
    safe = escape(" ".join(text.split()) or "\u00a0")
    return Html(f'<bdi class="gd-name" title="{safe}">{safe}</bdi>')


def path(text: str) -> Html:
    """A dotted name that may be broken after its dots."""
    return Html(escape(text).replace(".", ".<wbr>"))


def bar(text: str, share: float, colour: str) -> Html:
    """A number with a bar below it.

    Args:
        text: the number.
        share: length of the bar, 0 … 1; nothing is drawn for what is not finite.
        colour: CSS colour.
    """
    percent = 100 * min(1.0, max(0.0, share)) if math.isfinite(share) else 0.0
    return Html(f'<span class="gd-bar" style="--part:{percent:.1f}%;--bar:{colour}">{escape(text)}</span>')


def html_table(
    frame: pd.DataFrame,
    *,
    caption: str,
    titles: Mapping[str, str] | None = None,
    formats: Mapping[str, Callable[[Any], str]] | None = None,
    row_header: str | None = None,
    classes: str = "",
    limit: int | None = None,
) -> str:
    """A table with caption and scoped headings.

    Args:
        frame: the rows; the index is not shown.
        caption: what the table shows.
        titles: column headings, units included; the column's name where missing.
        formats: per column a function from value to text (`Html` text is not escaped).
        row_header: the column whose cells head their rows.
        classes: further CSS classes.
        limit: at most so many rows; the caption says when some were left out.
    """
    shown = frame if limit is None else frame.head(limit)
    if len(shown) < len(frame):
        caption += f" (first {len(shown)} of {len(frame)} rows; the CSV has all)"
    names = [str(name) for name in frame.columns]
    numeric = [pd.api.types.is_numeric_dtype(frame[name]) for name in frame.columns]
    classed = [' class="gd-num"' if is_number else "" for is_number in numeric]
    head = "".join(
        f'<th scope="col"{css}>{_cell(title)}</th>' if (title := (titles or {}).get(name, name)) else f"<td{css}></td>"
        for name, css in zip(names, classed, strict=True)
    )
    body = [
        _row(list(row), names, classed, formats or {}, row_header) for row in shown.itertuples(index=False, name=None)
    ]
    return (
        f'<div class="gd-scroll" tabindex="0" role="region" aria-label="{escape(caption)}">'
        f'<table class="gd-table {classes}"><caption><span class="gd-table-caption">{escape(caption)}</span></caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def _row(
    row: Sequence[Any],
    names: Sequence[str],
    classed: Sequence[str],
    formats: Mapping[str, Callable[[Any], str]],
    row_header: str | None,
) -> str:
    cells = []
    for name, css, value in zip(names, classed, row, strict=True):
        text = _cell(formats[name](value) if name in formats else _default(value))
        cells.append(f'<th scope="row">{text}</th>' if name == row_header else f"<td{css}>{text}</td>")
    return f"<tr>{''.join(cells)}</tr>"


def _cell(text: str) -> str:
    return text if isinstance(text, Html) else escape(text)


def _default(value: Any) -> str:
    if isinstance(value, float):
        return significant(value, 4)
    return "" if value is None else str(value)
