"""The report as Markdown, for the documentation."""

from __future__ import annotations

from gif_dash.figures.report import Network, Pair, Report, Section, Table
from gif_dash.figures.report_words import HOW, INTRO, TITLE


def page(report: Report) -> str:
    """The whole report; pictures are left out."""
    parts = [f"# {TITLE}", INTRO, HOW, *map(_network, report.networks), *map(_section, report.sections)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _network(network: Network) -> str:
    facts = "; ".join(f"{name} {value}" for name, value in network.facts)
    return f"**{network.name}**: {facts or 'not run'}. Command: `{network.command}`"


def _section(section: Section) -> str:
    parts = [f"## {section.title}", f"Published: {section.published}."]
    if section.ours:
        parts.append(f"Ours: {section.ours}.")
    if section.command:
        parts.append(f"```sh\n{section.command}\n```")
    if not section.run:
        parts.append("**Ours: not run.**" + ("" if section.command else " There is no experiment for it yet."))
    parts += map(_table, section.tables)
    if section.tally and section.run:
        parts.append(f"{section.tally}.")
    if section.claims:
        lines = [
            f"- {claim.text}: **{claim.verdict}**" + (f" ({claim.evidence})" if claim.evidence else "")
            for claim in section.claims
        ]
        parts.append("Claims:\n\n" + "\n".join(lines))
    if section.differs:
        parts.append("Settings that differ:\n\n" + "\n".join(f"- {text}" for text in section.differs))
    if section.reasons and section.run:
        parts.append("Where numbers differ, likely because:\n\n" + "\n".join(f"- {text}" for text in section.reasons))
    return "\n\n".join(parts)


def _table(table: Table) -> str:
    alone = table.alone
    lines = [
        "| | " + " | ".join(table.columns) + " |",
        "|---|" + "---|" * len(table.columns),
        *("| " + " | ".join([row.head, *(_cell(pair, alone) for pair in row.pairs)]) + " |" for row in table.rows),
    ]
    return "\n".join(lines) + (f"\n\n{table.note}" if table.note else "")


def _cell(pair: Pair, alone: bool) -> str:
    if not pair.run:
        return pair.theirs
    if alone:
        return pair.mine
    mark = {"agrees": " =", "ours is higher": " ↑", "ours is lower": " ↓"}.get(pair.agreement, "")
    return f"{pair.theirs} / {pair.mine}{mark}"
