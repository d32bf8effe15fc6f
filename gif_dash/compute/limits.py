"""What one visitor of a server may want, so that there is something left for the others."""

from __future__ import annotations

from dataclasses import dataclass

from gif_dash.specs import Spec, SpecError


@dataclass(frozen=True)
class Limits:
    """Limits of a server; None: there is none.

    Attributes:
        queued: questions of one asker that may wait or run at the same time.
        samples: examples behind any of a question's samples.
        minutes: that a run may take.
    """

    queued: int | None = None
    samples: int | None = None
    minutes: float | None = None

    def check(self, spec: Spec, live: int) -> None:
        """Whether an asker who has so many questions waiting or running may ask this one, too.

        Raises:
            SpecError: one sentence about the limit that stands against it.
        """
        if self.queued is not None and live >= self.queued:
            raise SpecError(
                f"You have {live} questions waiting already, as many as this server allows: wait for one, or cancel it"
            )
        for name, info in type(spec).model_fields.items():
            if self.samples is not None and name.endswith("_samples") and getattr(spec, name) > self.samples:
                raise SpecError(f"at most {self.samples:,} on this server", name, info.title or name)

    def overdue(self, seconds: float) -> str:
        """One sentence when a run has taken too long; else empty."""
        if self.minutes is None or seconds <= 60 * self.minutes:
            return ""
        return f"Stopped after {self.minutes:g} minutes, the limit of this server: ask for less at a time"


NO_LIMITS = Limits()
