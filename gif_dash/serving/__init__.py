"""The dashboard as a web page: a small Voila that serves one notebook, and nothing else, on this machine."""

from gif_dash.serving.start import serve

__all__ = ["serve"]
