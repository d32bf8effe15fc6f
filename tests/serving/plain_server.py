"""Serves a notebook of the tests: ``plain_server.py NOTEBOOK [NAME=VALUE ...]``.

Names are those of `configuration`; those of `access` (host, token_file, password_file, and allow, names with commas);
and paint: seconds that a browser gets to paint.
"""

import sys
from pathlib import Path

sys.modules.setdefault("rfc3987_syntax", None)

from gif_dash.access import access  # noqa: E402
from gif_dash.serving import first_visit, server, start  # noqa: E402

if __name__ == "__main__":
    words = dict(word.split("=", 1) for word in sys.argv[2:])
    names = tuple(filter(None, words.pop("allow", "").split(",")))
    files = {name: Path(words.pop(name)) for name in ("token_file", "password_file") if name in words}
    entry = access(words.pop("host", "127.0.0.1"), names, **files)
    settings = {name: int(value) for name, value in words.items()}
    first_visit.PAINT = settings.pop("paint", first_visit.PAINT)
    original = server.configuration
    server.configuration = lambda **given: original(**{**given, **settings})  # type: ignore[assignment]
    sys.exit(start.serve(port=0, access=entry, open_browser=False, notebook=Path(sys.argv[1])))
