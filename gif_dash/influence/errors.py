"""What can go wrong, said in one sentence, and how a long computation is told to stop."""

from __future__ import annotations

from collections.abc import Callable

#: Called between micro-batches. Raising from it cancels the computation, which leaves neither graphs nor hooks behind.
Tick = Callable[[], None]


class InfluenceError(ValueError):
    """A question the engine cannot answer; the message is one sentence that says what to change."""


def no_tick() -> None:
    """The default `Tick`: never cancels."""
