"""Files that travel with the program: the notebooks and the page's template.

A wheel carries the notebooks inside the package; a checkout (an editable install) has them beside it.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def notebooks() -> Path:
    """The folder of the notebooks.

    Raises:
        FileNotFoundError: if this copy of the program has none.
    """
    for folder in (_PACKAGE / "notebooks", _PACKAGE.parent / "notebooks"):
        if folder.is_dir():
            return folder
    raise FileNotFoundError("this copy of gif_dash has no notebooks: install it again")


def notebook(name: str) -> Path:
    """A notebook by its name without the ending, such as ``dashboard``.

    Raises:
        FileNotFoundError: if there is none of that name.
    """
    path = notebooks() / f"{name}.ipynb"
    if not path.is_file():
        raise FileNotFoundError(f"there is no notebook named {name!r}")
    return path


def jupyter_data() -> Path:
    """A folder in the layout of Jupyter's data folders that holds the page's template for Voila."""
    return _PACKAGE / "serving"
