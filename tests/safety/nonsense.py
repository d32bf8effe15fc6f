"""Whatever a stranger may send instead of what the page sends: wrong kinds, sizes and letters, and near misses."""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True)
class Sent:
    """A message for some widget, made before it is known which widgets there are and what they hold.

    Attributes:
        who: the widget, by its place (modulo their number).
        form: ``near`` (of the right kind, wrong within), ``update``, ``custom`` or ``odd``.
        which: of the widget's traits and of the keys of a dictionary, by place.
        typed: a value of each kind, for ``near``.
        value: what is sent otherwise, or within.
    """

    who: int
    form: str
    which: tuple[int, int]
    typed: tuple[bool, int, float, str, list[Any]]
    value: Any

    def content(self, heard: dict[str, Any], keys: list[str]) -> Any:
        """Of the comm message.

        Args:
            heard: traits that the browser writes, with their values now.
            keys: of dictionaries that mean something somewhere on the page.
        """
        if self.form == "custom":
            return {"method": "custom", "content": self.value}
        if self.form == "odd":
            return self.value
        names = list(heard) if heard and self.form == "near" else [*heard, *OTHERS]
        name = names[self.which[0] % len(names)]
        value = self._near(heard[name], keys) if self.form == "near" and heard else self.value
        return {"method": "update", "state": {name: value}}

    def _near(self, now: Any, keys: list[str]) -> Any:
        if isinstance(now, dict):
            known = [*now, *keys]
            return {**now, known[self.which[1] % len(known)]: self.value}
        for kind, value in zip((bool, int, float, str, list), self.typed, strict=True):
            if isinstance(now, kind):
                return value
        return self.value


#: Synced traits that no script of ours writes.
OTHERS = ("_esm", "_css", "children", "layout", "html", "fields", "rows", "content", "nonsense", "_view_name")
#: What scripts of the page say to their widgets.
SAID = (
    "run", "cancel", "save", "file", "press", "open", "query", "remove", "ask", "want", "pin", "rename", "delete",
    "undo", "start",
)  # fmt: skip
TOLD = st.fixed_dictionaries(
    {"do": st.sampled_from(SAID) | SCALARS},
    optional=dict.fromkeys(
        ("name", "index", "row", "column", "key", "pinned", "what", "file", "from", "method", "criterion"), ANYTHING
    ),
)
ODD = st.one_of(
    ANYTHING,
    st.just({"method": "request_state"}),
    st.fixed_dictionaries({"method": SCALARS, "state": ANYTHING}),
    st.fixed_dictionaries({"method": st.just("update"), "state": ANYTHING}),
    st.just({"method": "update", "state": {}, "buffer_paths": [["values"]]}),
)
TYPED = st.tuples(
    st.booleans(),
    st.integers(-(10**6), 10**6),
    st.floats(allow_nan=True, allow_infinity=True),
    st.text(max_size=20) | st.sampled_from(TEXTS),
    st.lists(SCALARS, max_size=8),
)
VALUE_OF = {"near": ANYTHING, "update": ANYTHING, "custom": TOLD | ANYTHING, "odd": ODD}
MESSAGES: Any = st.sampled_from(["near", "near", "near", "custom", "custom", "update", "odd"]).flatmap(
    lambda form: st.builds(
        Sent,
        st.integers(0, 10**6),
        st.just(form),
        st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)),
        TYPED,
        VALUE_OF[form],
    )
)
