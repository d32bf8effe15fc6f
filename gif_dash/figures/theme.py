"""One look for everything that is drawn: a fixed colour, dash and marker per method, in light and in dark.

The colours are those of Okabe and Ito, which people with colour-blindness can tell apart; dash and marker tell the
methods apart where there is no colour at all. A method keeps its style in every panel.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, get_args

from gif_dash.specs import LABELS, Method

if TYPE_CHECKING:
    import plotly.graph_objects as go


@dataclass(frozen=True)
class Style:
    """How one method is drawn.

    Attributes:
        colour: CSS colour on a light ground.
        dark: the same on a dark ground (differs only where the colour would vanish there).
        dash: plotly's name of the line style.
        marker: plotly's name of the symbol, or nothing for a bare line.
        width: line width in pixels.
    """

    colour: str
    dark: str
    dash: str = "solid"
    marker: str = ""
    width: float = 2.0

    def css(self) -> str:
        """The colour for both grounds as one CSS value."""
        return self.colour if self.colour == self.dark else f"light-dark({self.colour}, {self.dark})"


def _method(colour: str, dash: str, marker: str, light: str = "") -> Style:
    return Style(light or colour, colour, dash, marker)


#: Plotly knows this one by its lengths only.
DASH_DOT_DOT = "7px,3px,2px,3px,2px,3px"

#: The style of every method and reference, in all panels. Of the three palest colours the light ground gets a darker
#: shade: lines need a contrast of 3 to 1 (WCAG 1.4.11), which a test holds.
METHOD_STYLE: dict[str, Style] = {
    "gif": _method("#0072B2", "solid", "circle"),
    "fif": _method("#D55E00", "dash", "square"),
    "pif": _method("#009E73", "dot", "diamond"),
    "if": _method("#CC79A7", "dashdot", "triangle-up"),
    "gradient": _method("#E69F00", "longdash", "cross", light="#C38700"),
    "koh": _method("#F0E442", DASH_DOT_DOT, "triangle-down", light="#9A8D00"),
    "if2": _method("#56B4E9", "longdashdot", "x", light="#3F93C4"),
    "original": Style("#767676", "#9a9a9a", "dot", "", 1.5),
    "retrain": Style("#000000", "#f2f2f2", "solid", "", 1.5),
    "retrain_warm": Style("#000000", "#f2f2f2", "dash", "", 1.5),
}

#: The style of every criterion: another palette (Tol's muted one), as a criterion is not a method.
CRITERION_STYLE: dict[str, Style] = {
    "top-outputs": Style("#332288", "#9d93f0", "solid", "circle"),
    "top-gradients": Style("#117733", "#44AA99", "dash", "square"),
    "threshold": Style("#8a8a20", "#c8c85a", "dot", "diamond"),
    "random": Style("#AA4499", "#d67fc6", "dashdot", "triangle-up"),
    "lowest-outputs": Style("#3b8fb5", "#88CCEE", "longdash", "triangle-down"),
    "lowest-gradients": Style("#b84a5d", "#e08a98", "longdashdot", "x"),
    "threshold-published": Style("#882255", "#c96a9b", DASH_DOT_DOT, "cross"),
}

#: SVG dash patterns of plotly's dash names.
DASHES = {
    "solid": "",
    "dash": "7 4",
    "dot": "2 3",
    "dashdot": "7 3 2 3",
    "longdash": "12 4",
    "longdashdot": "12 3 2 3",
    DASH_DOT_DOT: "7 3 2 3 2 3",
}

#: Outlines of the markers, radius 4 around the origin, as SVG path data.
MARKERS = {
    "circle": "M4,0A4,4,0,1,1,-4,0A4,4,0,1,1,4,0Z",
    "square": "M-3.5,-3.5H3.5V3.5H-3.5Z",
    "diamond": "M0,-5L5,0L0,5L-5,0Z",
    "triangle-up": "M0,-5L4.6,3.4H-4.6Z",
    "triangle-down": "M0,5L4.6,-3.4H-4.6Z",
    "x": "M-2.1,-4.1L0,-2L2.1,-4.1L4.1,-2.1L2,0L4.1,2.1L2.1,4.1L0,2L-2.1,4.1L-4.1,2.1L-2,0L-4.1,-2.1Z",
    "cross": "M-1.4,-4.4H1.4V-1.4H4.4V1.4H1.4V4.4H-1.4V1.4H-4.4V-1.4H-1.4Z",
}

#: Configuration of every plotly figure; plotly's cloud button would upload the figure.
PLOTLY_CONFIG: dict[str, Any] = {"responsive": True, "displaylogo": False, "showSendToCloud": False}

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif'


def style(method: str) -> Style:
    """The style of a method, a criterion or a reference row; a neutral one for names that have none."""
    return METHOD_STYLE.get(method) or CRITERION_STYLE.get(method, METHOD_STYLE["original"])


def label(method: str) -> str:
    """What people read instead of a method's name."""
    return LABELS.get(method, method)


def swatch(method: str) -> str:
    """`stroke` in the style of a method, a criterion or a reference row."""
    return stroke(style(method))


def stroke(look: Style, *, line: bool = True) -> str:
    """A short line with its marker, or the marker alone, as inline SVG (decorative: hidden from screen readers)."""
    drawn = ""
    if line:
        drawn = (
            f'<path d="M1,7H27" style="fill:none;stroke:{look.css()};stroke-width:{look.width}" '
            f'stroke-dasharray="{DASHES[look.dash]}"/>'
        )
    if look.marker:
        drawn += f'<path transform="translate(14,7)" d="{MARKERS[look.marker]}" style="fill:{look.css()}"/>'
    return f'<svg class="gd-swatch" width="28" height="14" viewBox="0 0 28 14" aria-hidden="true">{drawn}</svg>'


def plain(text: str) -> str:
    """Text of people or data for a figure: plotly reads tags in every label, and must not find any."""
    return escape(text, quote=False)


def named(method: str) -> str:
    """Swatch and label of a method as HTML."""
    return f'{swatch(method)}<span class="gd-method">{escape(label(method))}</span>'


def template(dark: bool = False) -> go.layout.Template:
    """Plotly's template for figures on a light or a dark ground (transparent, so the page shows through)."""
    import plotly.graph_objects as go

    text, grid, line = ("#e6e8eb", "#30363d", "#5b636c") if dark else ("#1f2328", "#e4e7eb", "#9aa2ab")
    axis = {
        "gridcolor": grid,
        "linecolor": line,
        "zerolinecolor": grid,
        "showline": True,
        "ticks": "outside",
        "tickcolor": line,
        "title": {"standoff": 8},
        "automargin": True,
    }
    return go.layout.Template(
        layout={
            "font": {"family": FONT, "size": 13, "color": text},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "colorway": [METHOD_STYLE[name].colour for name in get_args(Method)],
            "xaxis": axis,
            "yaxis": axis,
            "margin": {"l": 60, "r": 16, "t": 48, "b": 48},
            "hoverlabel": {"font": {"family": FONT}},
            "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        }
    )
