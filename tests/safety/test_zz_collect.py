import collections
import logging
import os
import sys
import traceback

sys.path.insert(0, "/work/safety/tests")
sys.path.insert(0, "/work/safety/tests/safety")
for d in os.listdir("/work/safety/tests"):
    pass
seen = collections.Counter()


class H(logging.Handler):
    def emit(self, r):
        if r.exc_info:
            tb = traceback.extract_tb(r.exc_info[2])
            last = [f for f in tb if "gif_dash" in f.filename][-1]
            k = f"{type(r.exc_info[1]).__name__}: {str(r.exc_info[1])[:80]!r} at {last.filename[-40:]}:{last.lineno} {last.line}"
            key = f"{type(r.exc_info[1]).__name__} {last.filename[-40:]}:{last.lineno}"
            if key not in seen:
                print(k, flush=True)
            seen[key] += 1


def test_collect(tmp_path, monkeypatch):
    os.environ["GIF_DASH_STRICT"] = "0"
    logging.getLogger("gif_dash").addHandler(H())
    import test_nonsense as t
    from whole_page import WholePage

    page = WholePage(tmp_path, monkeypatch)
    c = t.fuzz(page, int(os.environ.get("N", "600")))
    print(c, seen)
