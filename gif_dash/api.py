"""The Python way in: a spec goes in, a result comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gif_dash.compute.client import execute
from gif_dash.grid import GridResult, Headed, cells, run_cells
from gif_dash.notebook import NotebookProgress, in_notebook
from gif_dash.progress import Progress
from gif_dash.results import Result
from gif_dash.specs import Spec
from gif_dash.terminal import TerminalProgress


def run(spec: Spec, *, fresh: bool = False, progress: Progress | None = None) -> Result:
    """Compute a spec here and now, or look it up if it was computed before.

    Args:
        spec: the question, for example ``RemovalSpec(forget_classes=(8,), mr=10)``.
        fresh: compute it even if the result is stored.
        progress: who is told; a progress bar in a notebook or on a terminal, by default.

    Returns:
        The result: ``result.table`` is the main table, ``result.tables`` all of them.

    Raises:
        SpecError: the scenario does not allow the question.
        gif_dash.scenarios.ScenarioError: the scenario cannot be had, for example because its data is missing.
    """
    if progress is not None:
        return execute(spec, progress, fresh=fresh)
    with NotebookProgress() if in_notebook() else TerminalProgress() as shown:
        return execute(spec, shown, fresh=fresh)


def run_grid(
    spec: Spec, axes: Mapping[str, Sequence[Any]], *, fresh: bool = False, progress: Progress | None = None
) -> GridResult:
    """Compute a spec for every combination of some settings; cells that are stored are looked up.

    Args:
        spec: the question that all cells share.
        axes: values by field name, for example ``{"mr": (5, 10), "criterion": ("top-outputs", "random")}``; lists of
            lists for fields that hold several values, or single values for lists of one.
        fresh: compute cells that are stored, too.
        progress: who is told; a progress bar in a notebook or on a terminal, by default.

    Returns:
        All results: ``.table`` is one table of all cells, ``.failed`` has those that could not be.

    Raises:
        SpecError: a combination is not allowed; nothing was computed.
    """
    listed = cells(type(spec), spec.model_dump(), axes)
    if progress is not None:
        return run_cells(listed, lambda head: Headed(progress, head), fresh=fresh)
    with NotebookProgress() if in_notebook() else TerminalProgress() as shown:
        return run_cells(listed, lambda head: Headed(shown, head), fresh=fresh)
