"""Whatever is sent to the widgets of a page, questions stay valid, refusals are said, and no exception is lost."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from nonsense import MESSAGES, Sent
from whole_page import WholePage, check

#: Messages of one example: what the last one left behind, the next one finds.
TOGETHER = 5


def fuzz(page: WholePage, examples: int) -> Counter[str]:
    """Counts of what came of the messages."""
    counts: Counter[str] = Counter()
    forms = [panel.form for panel in page.dashboard.panels.values() if hasattr(panel, "form")]
    keys = sorted({name for form in forms for name in form.values} | {"", "nonsense", "<b>"})

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],  # the page is another one after every message: there is nothing to shrink
    )
    @given(st.lists(MESSAGES, min_size=TOGETHER, max_size=TOGETHER))
    def send(sent: list[Sent]) -> None:
        widgets = page.widgets()
        listening = [each for each in widgets if getattr(each, "heard", ()) or each._msg_callbacks.callbacks]
        for one in sent:
            among = listening if one.form != "odd" else widgets
            widget = among[one.who % len(among)]
            heard = {name: getattr(widget, name) for name in getattr(widget, "heard", ())}
            content = one.content(heard, keys)
            reason = page.hearing.hear(widget, {"content": {"comm_id": "c", "data": content}, "buffers": []})
            counts["messages"] += 1
            counts[reason or "taken"] += 1
        page.beat()
        page.valid()

    send()
    return counts


@pytest.mark.timeout(900)
def test_nonsense_in_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = WholePage(tmp_path, monkeypatch)
    counts = fuzz(page, 210)
    said(counts, page)
    assert counts["messages"] >= 1000
    assert counts["taken"] > 100
    assert len(counts) >= 6, "every kind of refusal"
    assert sum(page.hearing.refusals.count.values()) == counts["messages"] - counts["taken"]
    for spec in page.client.submitted:
        check(spec)


@pytest.mark.long
@pytest.mark.timeout(3000)
def test_nonsense_in_process_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = WholePage(tmp_path, monkeypatch)
    counts = fuzz(page, 2500)
    said(counts, page)
    assert counts["messages"] >= 10_000
    for spec in page.client.submitted:
        check(spec)


def said(counts: Counter[str], page: WholePage) -> None:
    """For the record: ``pytest -s`` shows it."""
    print(json.dumps({**counts, "questions asked": len(page.client.submitted), "process": os.getpid()}, indent=1))
