"""Static pictures for the report: SVG text that follows the page's colours and prints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from gif_dash.figures.theme import DASHES, label, style

WIDTH, HEIGHT = 460, 250
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 24, 38


@dataclass(frozen=True)
class Curve:
    """A method's values along s; a single one is a level."""

    method: str
    x: tuple[float, ...]
    y: tuple[float, ...]


def along_s(curves: Sequence[Curve], title: str, low: float, high: float) -> str:
    """Lines over a logarithmic s, levels for what has no s, with a legend.

    Args:
        curves: what is drawn; values that are not finite interrupt a line.
        title: of the vertical axis, with its unit.
        low: end of the vertical axis.
        high: the other end.
    """
    scalars = [value for curve in curves for value in curve.x if value > 0]
    first, last = (math.log10(min(scalars)), math.log10(max(scalars))) if scalars else (-1.0, 4.0)
    wide, tall = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    legend = 18 * math.ceil(len(curves) / 3)

    def across(value: float) -> float:
        return LEFT + wide * (math.log10(value) - first) / max(last - first, 1e-9)

    def up(value: float) -> float:
        return TOP + tall * (1 - (min(max(value, low), high) - low) / (high - low))

    parts = [f'<text x="4" y="14">{escape(title)}</text>']
    for step in range(5):
        value = low + (high - low) * step / 4
        parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{up(value):.1f}" y2="{up(value):.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{up(value) + 4:.1f}" text-anchor="end">{value:g}</text>')
    for power in range(math.ceil(first), math.floor(last) + 1):
        place = across(10.0**power)
        parts.append(f'<line class="axis" x1="{place:.1f}" x2="{place:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
        anchor = "middle" if place < WIDTH - RIGHT - 10 else "end"  # at the edge it would be cut off
        edge = place if anchor == "middle" else WIDTH - 1
        parts.append(f'<text x="{edge:.1f}" y="{HEIGHT - BOTTOM + 15}" text-anchor="{anchor}">{10.0**power:g}</text>')
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 6}" text-anchor="end">influence scalar s</text>')
    for number, curve in enumerate(curves):
        look = style(curve.method)
        dashes = f'stroke-width="{look.width:g}" stroke-dasharray="{DASHES[look.dash]}"'
        drawn = f'fill="none" style="stroke:{look.css()}" {dashes}'
        if len(curve.x) < 2:
            height = up(curve.y[0])
            parts.append(f'<path {drawn} d="M{LEFT},{height:.1f}H{WIDTH - RIGHT}"/>')
        else:
            points = zip(curve.x, curve.y, strict=True)
            known = [f"{across(x):.1f},{up(y):.1f}" for x, y in points if math.isfinite(y) and x > 0]
            parts.append(f'<path {drawn} d="M{" ".join(known)}"/>')
        x, y = LEFT + 140 * (number % 3), HEIGHT + 4 + 18 * (number // 3)
        parts.append(
            f'<path {drawn} d="M{x},{y}h26"/><text x="{x + 31}" y="{y + 4}">{escape(label(curve.method))}</text>'
        )
    named = escape(f"{title} against the influence scalar s: {', '.join(label(curve.method) for curve in curves)}")
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT + legend}" width="{WIDTH}" role="img" aria-label="{named}">'
        f"{''.join(parts)}</svg>"
    )
