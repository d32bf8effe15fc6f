"""Where things are kept: the user's cache folder, and the folder of the data sets."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def cache_dir() -> Path:
    """Checkpoints and results: ``GIF_DASH_CACHE``, else the platform's cache folder for this user. Not created here."""
    chosen = os.environ.get("GIF_DASH_CACHE")
    return Path(chosen).expanduser().resolve() if chosen else Path(platformdirs.user_cache_dir("gif-dash", False))


def data_dir() -> Path:
    """Data sets in torchvision's layout: ``GIF_DASH_DATA``, else a folder of this user's data. Not created here."""
    chosen = os.environ.get("GIF_DASH_DATA")
    return (
        Path(chosen).expanduser().resolve() if chosen else Path(platformdirs.user_data_dir("gif-dash", False)) / "data"
    )
