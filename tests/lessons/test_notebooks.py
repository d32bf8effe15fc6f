"""The lessons as notebooks: one for each, a few cells without outputs, and they run."""

from __future__ import annotations

import nbformat
import pytest

from gif_dash import resources
from gif_dash.lessons import scripts


def read(name: str) -> nbformat.NotebookNode:
    return nbformat.read(resources.notebook(f"lesson-{name}"), as_version=4)


def test_there_is_one_for_every_lesson() -> None:
    found = {path.stem.removeprefix("lesson-") for path in resources.notebooks().glob("lesson-*.ipynb")}
    assert found == set(scripts())


@pytest.mark.parametrize("name", list(scripts()))
def test_a_few_cells_without_outputs(name: str) -> None:
    notebook = read(name)
    assert len(notebook.cells) <= 5
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert f'Lesson("{name}")' in code[0].source
    assert notebook.cells[0].source.startswith(f"# {scripts()[name].title}\n")


def test_all_of_them_run() -> None:
    """One after the other in one kernel, which imports everything once."""
    from nbclient import NotebookClient

    together = read("line")
    together.cells = [cell for name in scripts() for cell in read(name).cells if cell.cell_type == "code"]
    NotebookClient(together, timeout=240).execute()
    outputs = [output for cell in together.cells for output in cell.outputs]
    views = [output for output in outputs if "application/vnd.jupyter.widget-view+json" in output.get("data", {})]
    tables = [output for output in outputs if "<table" in output.get("data", {}).get("text/html", "")]
    assert len(views) == len(tables) == len(scripts())
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
