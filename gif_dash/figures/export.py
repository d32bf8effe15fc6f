"""A view that leaves the page: one HTML file that needs nothing else, now or in ten years."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import pandas as pd

from gif_dash import __version__
from gif_dash.figures.tables import html_table
from gif_dash.figures.theme import FONT, PLOTLY_CONFIG

if TYPE_CHECKING:
    import plotly.graph_objects as go

_STYLE = f"""
body{{font:15px/1.5 {FONT};max-width:1200px;margin:2rem auto;padding:0 1rem;color:#1f2328;background:#fff}}
table{{border-collapse:collapse;font-size:13px}} caption{{text-align:left;font-weight:600;padding:.4rem 0}}
th,td{{padding:.2rem .6rem;border-bottom:1px solid #d8dee4;text-align:left}} td.gd-num{{text-align:right}}
pre{{background:#f3f4f6;padding:.8rem;overflow:auto}} .gd-scroll{{overflow:auto}}
"""


def standalone_html(
    title: str,
    *,
    words: Sequence[str],
    figures: Sequence[go.Figure],
    tables: Mapping[str, pd.DataFrame],
    python: str,
    provenance: Mapping[str, Any],
) -> str:
    """The view as one self-contained HTML page: figures with plotly inside, tables, code and provenance.

    Args:
        title: heading of the page.
        words: HTML paragraphs, escaped by the caller.
        figures: plotly figures; plotly's JavaScript is written once, into the file.
        tables: every table in full, by name.
        python: the lines that recompute it.
        provenance: shown as JSON.
    """
    parts = [f"<h1>{escape(title)}</h1>", *(f"<p>{text}</p>" for text in words)]
    for place, figure in enumerate(figures):
        parts.append(figure.to_html(full_html=False, include_plotlyjs=place == 0, config=PLOTLY_CONFIG))
    for name, table in tables.items():
        fold = html_table(table, caption=name)
        parts.append(f"<details><summary>Table: {escape(name)} ({len(table)} rows)</summary>{fold}</details>")
    parts += [
        f"<h2>Recompute it</h2><pre>{escape(python)}</pre>",
        f"<h2>Where the numbers come from</h2><pre>{escape(json.dumps(dict(provenance), indent=1, default=str))}</pre>",
        f"<p>Made with gif_dash {escape(__version__)}.</p>",
    ]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
        f"<body>{''.join(parts)}</body></html>"
    )
