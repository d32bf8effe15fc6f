"""Serves a notebook of the tests: ``plain_server.py NOTEBOOK [NAME=INTEGER ...]``.

Names are those of `configuration`, and paint: seconds that a browser gets to paint.
"""

import functools
import sys
from pathlib import Path

sys.modules.setdefault("rfc3987_syntax", None)

from gif_dash.serving import first_visit, server, start  # noqa: E402

if __name__ == "__main__":
    settings = {name: int(value) for name, _, value in (word.partition("=") for word in sys.argv[2:])}
    first_visit.PAINT = settings.pop("paint", first_visit.PAINT)
    server.configuration = functools.partial(server.configuration, **settings)
    sys.exit(start.serve(port=0, open_browser=False, notebook=Path(sys.argv[1])))
