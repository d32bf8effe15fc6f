"""The report as one HTML file: offline, light and dark, fit for paper."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from gif_dash.figures.report import Network, Pair, Report, Section, Table
from gif_dash.figures.report_words import HOW, INTRO, TITLE
from gif_dash.figures.theme import FONT

STYLE = f"""
:root{{color-scheme:light dark;--ground:light-dark(#fff,#14171c);--text:light-dark(#1f2328,#e6e8eb);
  --muted:light-dark(#59636e,#a3adb8);--line:light-dark(#d5dae0,#39414b);--surface:light-dark(#f6f7f9,#1c2127);
  --accent:light-dark(#0b5cad,#6cb2f5);--off:light-dark(#8a4b00,#f0b072);--agree:light-dark(#1a6b35,#7ccf97)}}
*{{box-sizing:border-box}}
body{{font:15px/1.5 {FONT};max-width:1100px;margin:2rem auto;padding:0 1.2rem;color:var(--text);
  background:var(--ground)}}
h1,h2,h3{{line-height:1.25;text-wrap:balance}}
h2{{margin-top:2.6rem;border-top:1px solid var(--line);padding-top:1.2rem}}
a{{color:var(--accent)}}
code,pre{{font:13px/1.5 ui-monospace,Menlo,Consolas,monospace;background:var(--surface)}}
code{{padding:.1em .3em;border-radius:3px;overflow-wrap:anywhere}}
pre{{padding:.7rem .9rem;border-radius:6px;white-space:pre-wrap;overflow-wrap:anywhere}}
.scroll{{overflow-x:auto;margin:1rem 0}}
table{{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums}}
th,td{{padding:.3rem .65rem;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap;
  vertical-align:top}}
tr>:first-child{{text-align:left}}
thead th{{font-weight:600;white-space:normal;min-width:6.5em}}
td small{{display:block;color:var(--muted);font-size:12px}}
td b{{font-weight:600}}
.agrees{{color:var(--agree)}}
.off{{color:var(--off)}}
.none,.muted{{color:var(--muted)}}
dl{{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem;margin:.5rem 0}}
dt{{color:var(--muted)}}
dd{{margin:0;overflow-wrap:anywhere}}
.claims li{{margin:.25rem 0}}
.verdict{{font-weight:600}}
nav li{{margin:.15rem 0}}
.figures{{display:flex;flex-wrap:wrap;gap:1rem 2.5rem}}
figure{{margin:0}}
figcaption{{font-size:13px;color:var(--muted)}}
svg{{max-width:100%;height:auto}}
svg text{{fill:var(--text);font:12px {FONT}}}
svg .axis{{stroke:var(--line)}}
@media print{{
  :root{{color-scheme:light}}
  body{{margin:0;max-width:none;font-size:11pt}}
  h2{{break-after:avoid;margin-top:1.4rem}}
  table{{font-size:8.5pt}}
  th,td{{padding:.15rem .35rem}}
  thead th{{min-width:0}}
  tr,figure,li,pre{{break-inside:avoid}}
  .scroll{{overflow:visible}}
  nav{{display:none}}
  a{{color:inherit;text-decoration:none}}
}}
"""


def page(report: Report) -> str:
    """The whole report."""
    contents = "".join(
        f'<li><a href="#part-{place}">{escape(section.title)}</a> '
        f'<span class="muted">{escape(section.tally)}</span></li>'
        for place, section in enumerate(report.sections)
    )
    body = [
        f"<h1>{escape(TITLE)}</h1><p>{escape(INTRO)}</p><p class='muted'>{escape(HOW)}</p>",
        f"<nav aria-label='Contents'><ul>{contents}</ul></nav>",
        "<h2>The networks behind our numbers</h2>",
        *map(_network, report.networks),
        *(_section(section, place) for place, section in enumerate(report.sections)),
        f"<p class='muted'>{escape(report.made)}</p>",
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>gif_dash: {escape(TITLE)}</title>'
        f"<style>{STYLE}</style></head><body>{''.join(body)}</body></html>"
    )


def _network(network: Network) -> str:
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in network.facts)
    none = "" if network.facts else '<p class="none">not run</p>'
    return (
        f"<h3>{escape(network.name)}</h3>{none}<dl>{facts}<dt>command</dt>"
        f"<dd><code>{escape(network.command)}</code></dd></dl>"
    )


def _section(section: Section, place: int) -> str:
    parts = [f'<h2 id="part-{place}">{escape(section.title)}</h2>']
    parts.append(f"<p><b>Published:</b> {escape(section.published)}.</p>")
    if section.ours:
        parts.append(f"<p><b>Ours:</b> {escape(section.ours)}.</p>")
    if not section.run:
        why = "" if section.command else " There is no experiment for it yet."
        parts.append(f'<p class="off"><b>Ours: not run.</b>{why}</p>')
    if section.command:
        parts.append(f"<pre>{escape(section.command)}</pre>")
    parts += map(_table, section.tables)
    if section.tally and section.run:
        parts.append(f"<p>{escape(section.tally)}.</p>")
    pictures = [f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>" for svg, caption in section.figures]
    if pictures:
        parts.append(f'<div class="figures">{"".join(pictures)}</div>')
    if section.claims:
        claims = "".join(
            f'<li>{escape(claim.text)}: <span class="verdict {_tone(claim.verdict)}">{claim.verdict}</span>'
            + (f' <span class="muted">({escape(claim.evidence)})</span>' if claim.evidence else "")
            + "</li>"
            for claim in section.claims
        )
        parts.append(f'<h3>What was claimed</h3><ul class="claims">{claims}</ul>')
    parts.append(_list("Settings that differ", section.differs))
    parts.append(_list("Where numbers differ, likely because", section.reasons if section.run else ()))
    return f"<section>{''.join(parts)}</section>"


def _tone(verdict: str) -> str:
    return {"holds": "agrees", "does not hold": "off"}.get(verdict, "none")


def _list(title: str, items: Sequence[str]) -> str:
    if not items:
        return ""
    return f"<h3>{escape(title)}</h3><ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>"


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.columns)
    alone = table.alone
    body = "".join(
        f'<tr><th scope="row">{escape(row.head)}</th>{"".join(_cell(pair, alone) for pair in row.pairs)}</tr>'
        for row in table.rows
    )
    note = f'<p class="muted">{escape(table.note)}</p>' if table.note else ""
    return (
        f'<div class="scroll"><table><thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table></div>{note}'
    )


def _cell(pair: Pair, alone: bool) -> str:
    if math.isnan(pair.published) and not pair.run:
        return "<td>–</td>"
    if not pair.run:
        return f'<td><small>{escape(pair.theirs)}</small><span class="none">not run</span></td>'
    if alone:
        return f"<td><b>{escape(pair.mine)}</b></td>"
    mark, tone = {
        "agrees": ("=", "agrees"),
        "ours is higher": ("↑", "off"),
        "ours is lower": ("↓", "off"),
    }.get(pair.agreement, ("", ""))
    said = f' <span class="{tone}" title="{pair.agreement}" aria-label="{pair.agreement}">{mark}</span>' if mark else ""
    return f"<td><small>{escape(pair.theirs)}</small><b>{escape(pair.mine)}</b>{said}</td>"
