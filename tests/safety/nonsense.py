"""Whatever a stranger may send instead of what the page sends: wrong kinds, sizes, letters, numbers, and near misses."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

#: Texts that mean something to somebody: markup, paths, import paths, formats, code, control characters.
TEXTS = (
    "",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "../../../../etc/passwd",
    "os:system",
    "gif_dash.cli:main",
    "package.module:function",
    "__import__('os').system('true')",
    "{0.__class__}",
    "%s%n",
    "digits-cnn\x00",
    "\u202e\u0000\ud7ff",
    "NaN",
    "1e999",
    "-1",
    "8",
    "1,2",
    "1" * 5000,
    "digits-cnn",
    "IPY_MODEL_0",
    "ж" * 300,
    "score best",
)

NUMBERS = st.one_of(
    st.integers(),
    st.sampled_from([0, 1, -1, 8, 2**31, 2**63, 10**30, -(10**30), 1e308, -0.0, 5e-324]),
    st.floats(allow_nan=True, allow_infinity=True),
)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=12), st.sampled_from(TEXTS))
VALUES: Any = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=6), st.dictionaries(st.text(max_size=6) | st.sampled_from(TEXTS), inner, max_size=4)
    ),
    max_leaves=8,
)
#: Large ones: no control of the page offers them.
HUGE = st.sampled_from([[0] * 20_000, list(range(3000)), "x" * 100_000, {str(place): place for place in range(2000)}])
ANYTHING: Any = st.one_of(VALUES, VALUES, VALUES, HUGE)


def messages(heard: dict[str, Any], fields: dict[str, list[str]], said: tuple[str, ...]) -> st.SearchStrategy[Any]:
    """Contents of comm messages for one widget.

    Args:
        heard: traits that the browser writes, with their values now.
        fields: per trait that holds a dictionary, keys that mean something.
        said: what the widget's own messages may ask it to do.
    """

    def near(name: str, value: Any) -> st.SearchStrategy[Any]:
        """Mostly of the right kind, and wrong within."""
        if isinstance(value, dict):
            keys = st.sampled_from([*value, *fields.get(name, ()), "", "nonsense", "<b>"])
            wrong = st.dictionaries(keys, ANYTHING, min_size=1, max_size=3)
            return wrong.map(lambda changes: {**value, **changes})
        if isinstance(value, bool):
            return st.booleans()
        if isinstance(value, int):
            return st.integers(-(10**6), 10**6)
        if isinstance(value, float):
            return st.floats(allow_nan=True, allow_infinity=True)
        if isinstance(value, list):
            return st.lists(SCALARS, max_size=8)
        return st.text(max_size=20) | st.sampled_from(TEXTS)

    states = [st.dictionaries(st.sampled_from([*heard, "_esm", "_css", "children", "layout", "html", "fields", "rows"]),
                              ANYTHING, max_size=3)]
    states += [near(name, value).map(lambda new, name=name: {name: new}) for name, value in heard.items()] * 3
    update = st.one_of(states).map(lambda state: {"method": "update", "state": state})
    told = st.fixed_dictionaries(
        {"do": st.sampled_from(said) | SCALARS},
        optional={name: ANYTHING for name in ("name", "index", "row", "column", "key", "pinned", "what", "file", "from",
                                              "method", "criterion")},
    )
    custom = (told | ANYTHING).map(lambda content: {"method": "custom", "content": content})
    odd = st.one_of(
        ANYTHING,
        st.just({"method": "request_state"}),
        st.fixed_dictionaries({"method": SCALARS, "state": ANYTHING}),
        st.just({"method": "update", "state": {}, "buffer_paths": [["values"]]}),
    )
    return st.one_of(update, update, custom, custom, odd)
