"""What a lesson is made of: steps with a text, a view of the dashboard, and often a question to predict."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl


@dataclass(frozen=True)
class Question:
    """Predict, then look.

    Attributes:
        text: the question, as HTML.
        choices: the answers to choose from, as plain text.
        answer: position of the right one.
        why: said when it is revealed, as HTML. What it claims of numbers is computed again by the tests.
        state: of the view that is shown then; empty: that of the step.
    """

    text: str
    choices: tuple[str, ...]
    answer: int
    why: str
    state: str = ""


@dataclass(frozen=True)
class Step:
    """One screen of a lesson.

    Attributes:
        title: of the step.
        text: our own words, as HTML; equations as MathML.
        state: of the view, as in a link (``tab=…&…``); empty: what the step before left, and the person made of it.
        controls: settings (by field name) that stay on the page.
        hide: parts of the page that are hidden besides those that every lesson hides, see `gif_dash.panels.viewing`.
        question: to be predicted.
        covered: the view is hidden until the answer is revealed.
    """

    title: str
    text: str
    state: str = ""
    controls: tuple[str, ...] = ()
    hide: tuple[str, ...] = ()
    question: Question | None = None
    covered: bool = False


@dataclass(frozen=True)
class Script:
    """A lesson.

    Attributes:
        name: in links.
        title: what people read.
        summary: one sentence.
        minutes: that it takes about.
        steps: in their order.
    """

    name: str
    title: str
    summary: str
    minutes: int
    steps: tuple[Step, ...] = field(default=())

    def state(self, place: int, revealed: bool = False) -> dict[str, str]:
        """Query parameters of the view at a step."""
        question = self.steps[place].question
        if revealed and question is not None and question.state:
            return dict(parse_qsl(question.state))
        found = next((step.state for step in self.steps[place::-1] if step.state), "")
        return dict(parse_qsl(found))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values for the page."""
        return {
            "name": self.name,
            "title": self.title,
            "minutes": self.minutes,
            "steps": [
                {
                    "title": step.title,
                    "text": step.text,
                    "question": vars(step.question) if step.question is not None else None,
                }
                for step in self.steps
            ],
        }


def equation(body: str) -> str:
    """A MathML equation on a line of its own."""
    return f'<math display="block">{body}</math>'


def inline(body: str) -> str:
    """A MathML expression within a sentence."""
    return f"<math>{body}</math>"
