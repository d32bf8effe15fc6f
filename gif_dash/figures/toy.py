"""Pictures of the toy: the plane of the two target weights, and what is measured on the way.

`plane` is a neutral description that the page draws by itself, at once and step by step; `chart` holds the measures
over the same steps; `to_plotly` is the plane for exports.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from gif_dash import toy
from gif_dash.figures.chart import Axis, Chart, Level, Line, Mark, Quantity
from gif_dash.figures.tables import significant
from gif_dash.figures.theme import DASHES, MARKERS, Style, label, style, template
from gif_dash.results import Result

if TYPE_CHECKING:
    import plotly.graph_objects as go

Point = tuple[float, float]
Window = tuple[float, float, float, float]  #: weight 1 from, to, weight 2 from, to

#: Drawn last lies on top.
ORDER = ("retrain", "koh", "if2", "pif", "fif", "gif")

#: What people read in this tab, where room is short and the order is the point.
_LABELS = {"retrain": "retraining", "koh": "IF (first order)", "if2": "IF2 (second order)"}

#: Marks of the points that the methods aim at: what people read, and plotly's name of the symbol.
LANDMARKS: dict[str, tuple[str, str]] = {
    "start": ("start", "triangle-down"),
    "plane_optimum": ("optimum in this plane", "diamond-open"),
    "full_optimum": ("retraining, the full optimum", "x-thin-open"),
    "drawn_optimum": ("optimum as drawn", "star"),
}

#: A window is kept while what is new fits in and fills at least this share of it: nothing jumps under a moving slider.
KEEP_SHARE = 0.55
#: A closer window is offered where FIF and GIF fill less than this share of the whole one.
NEAR_SHARE = 0.4


@dataclass(frozen=True)
class Path:
    """The way of one method through the plane.

    Attributes:
        points: the target weights after every step.
        line: the line as it is drawn; differs from the points only where the published figure smooths it.
    """

    key: str
    label: str
    style: Style
    points: tuple[Point, ...]
    line: tuple[Point, ...]


@dataclass(frozen=True)
class Landmark:
    """A marked point. `points` has one entry per step, or a single one if it does not move.

    `shift` moves the mark beside its point, as the published figure does with the start.
    """

    key: str
    label: str
    symbol: str
    points: tuple[Point, ...]
    shift: Point = (0.0, 0.0)


@dataclass(frozen=True)
class Ellipse:
    """A contour: centre, semi-axes, angle of the major axis in radians, and the label of its level."""

    x: float
    y: float
    major: float
    minor: float
    angle: float
    label: str


@dataclass(frozen=True)
class Plane:
    """The plane of the target weights, drawn with equal units on both axes.

    Attributes:
        title: what the plane is, in words.
        x_title, y_title: of the axes.
        positions: of each step on the horizontal axis of the chart beside the plane.
        captions: what has happened at each step, in words.
        end: the step that is shown first.
        contours: per step, or a single entry if they do not move.
        window: what is shown; `near` is a closer look at FIF and GIF where they are hard to tell apart.
        ghosts: paths of the run before.
    """

    title: str
    x_title: str
    y_title: str
    positions: tuple[float, ...]
    captions: tuple[str, ...]
    end: int
    paths: tuple[Path, ...]
    landmarks: tuple[Landmark, ...]
    contours: tuple[tuple[Ellipse, ...], ...]
    window: Window
    near: Window | None = None
    ghosts: tuple[Path, ...] = ()

    def with_ghosts_of(self, previous: Plane | None) -> Plane:
        """The same picture with the paths of another one as ghosts."""
        return replace(self, ghosts=previous.paths if previous is not None else ())

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values for the page."""
        plain = dict(vars(self))
        for name in ("paths", "ghosts"):
            plain[name] = [{**vars(path), "style": vars(path.style)} for path in getattr(self, name)]
        plain["landmarks"] = [vars(mark) for mark in self.landmarks]
        plain["contours"] = [[vars(ellipse) for ellipse in ellipses] for ellipses in self.contours]
        return {**plain, "dashes": DASHES, "markers": MARKERS}


def plane(result: Result, before: Plane | None = None) -> Plane:
    """The picture of a result. The window of the picture before is kept where that is possible."""
    spec = result.spec
    steps, landmarks = result.tables["steps"], result.tables["landmarks"]
    published = spec["variant"] == "published"
    group = spec["removal"] == "group"
    of_method = dict(list(steps.groupby("method", sort=False)))
    one_of_each = of_method["gif"]
    paths = tuple(
        _path(key, of_method[key], published)
        for key in ORDER
        # retraining has no way where the group leaves at once, and the notebook does not draw it
        if len(of_method.get(key, ())) > 1 and not (published and key == "retrain")
    )
    marks = tuple(_landmark(key, landmarks, published) for key in LANDMARKS if (landmarks["landmark"] == key).any())
    window, near = _windows(paths, marks, published)
    if before is not None:
        window = _steady(window, before.window)
        near = _steady(near, before.near) if near is not None and before.near is not None else near
    first, second = spec["first"], spec["second"]
    drawn = "the plane of weights 2 and 3" if published else "this plane"
    return Plane(
        title=f"Contours: loss over the retained points, above its least value in {drawn}",
        x_title=f"weight {first}",
        y_title=f"weight {second}",
        positions=tuple(map(float, one_of_each["scalar" if group else "removed"])),
        captions=tuple(
            f"s = {scalar:g}" if group else f"{removed} of {leaving(result)} outliers removed"
            for scalar, removed in zip(one_of_each["scalar"].tolist(), one_of_each["removed"].tolist(), strict=True)
        ),
        end=int(one_of_each.loc[one_of_each["mark"] == "one", "step"].iloc[0]),
        paths=paths,
        landmarks=marks,
        contours=_contours(result.tables["contours"]),
        window=window,
        near=near,
    )


def leaving(result: Result) -> int:
    """How many points are to be removed, changes by hand included."""
    return int(result.provenance["m"])


def _path(key: str, frame: pd.DataFrame, published: bool) -> Path:
    points = frame[["weight_first", "weight_second"]].to_numpy(dtype=float)
    line = toy.smoothed(points) if published and key in toy.METHODS else points
    return Path(key, _label(key), style(key), _points(points), _points(line))


def _label(key: str) -> str:
    return _LABELS.get(key, label(key))


def _points(array: Any) -> tuple[Point, ...]:
    return tuple((x, y) for x, y in array.tolist())


def _landmark(key: str, landmarks: pd.DataFrame, published: bool) -> Landmark:
    text, symbol = LANDMARKS[key]
    points = landmarks.loc[landmarks["landmark"] == key, ["weight_first", "weight_second"]].to_numpy(dtype=float)
    if key == "start":
        return Landmark(key, text, symbol, _points(points[:1]), (0.0, toy.START_SHIFT if published else 0.0))
    if key == "plane_optimum" and published:
        text = "optimum of the true plane"
    return Landmark(key, text, symbol, _points(points))


def _contours(table: pd.DataFrame) -> tuple[tuple[Ellipse, ...], ...]:
    columns = ["weight_first", "weight_second", "major", "minor", "angle", "excess"]
    rows = table[columns].to_numpy(dtype=float)
    found: list[list[Ellipse]] = [[] for _ in range(int(table["step"].max()) + 1)] if len(table) else []
    for step, (x, y, major, minor, angle, excess) in zip(table["step"].tolist(), rows.tolist(), strict=True):
        if np.isfinite(major):  # a direction in which the loss is flat has no closed contour
            found[step].append(Ellipse(x, y, major, minor, angle, f"+{excess:g}"))
    return tuple(map(tuple, found))


def _windows(paths: Sequence[Path], marks: Sequence[Landmark], published: bool) -> tuple[Window, Window | None]:
    methods = [point for path in paths if path.key != "retrain" for point in path.points]
    close = [point for path in paths if path.key in ("gif", "fif") for point in path.points]
    if published:  # the notebook's own window, which leaves the full optimum far outside
        x0, x1, y0, y1 = toy.PUBLISHED_WINDOW
        return _window([*methods, (x0, y0), (x1, y1)], margin=0.02), None
    targets = [point for mark in marks if mark.key == "full_optimum" for point in mark.points]
    whole, near = _window(methods + targets), _window(close)
    return whole, near if _size(near) < NEAR_SHARE * _size(whole) else None


def _window(points: Sequence[Point], margin: float = 0.1) -> Window:
    low, high = np.min(points, axis=0), np.max(points, axis=0)
    pad = margin * max(float((high - low).max()), 1e-6)
    return float(low[0] - pad), float(high[0] + pad), float(low[1] - pad), float(high[1] + pad)


def _size(window: Window) -> float:
    return max(window[1] - window[0], window[3] - window[2])


def _steady(new: Window, old: Window) -> Window:
    """The old window, if what the new one shows lies inside (its margin aside) and fills enough of it."""
    slack = 0.06 * _size(new)
    inside = (
        old[0] <= new[0] + slack and new[1] - slack <= old[1] and old[2] <= new[2] + slack and new[3] - slack <= old[3]
    )
    return old if inside and _size(new) >= KEEP_SHARE * _size(old) else new


#: What is measured at every step: column, title, whether it has a plot of its own.
_MEASURES = (
    ("distance_plane", "Distance to retraining, target weights", True),
    ("distance_full", "Distance to retraining, all weights", True),
    ("loss", "Loss over the retained points", True),
    ("gradient_norm", "Size of the total gradient", True),
    ("weight_first", "Weight", False),
    ("weight_second", "Weight", False),
)


def chart(result: Result, before: Chart | None = None) -> Chart:
    """The measures over the steps. The vertical axes of the chart before are kept where that is possible."""
    spec, steps = result.spec, result.tables["steps"]
    group = spec["removal"] == "group"
    of_method = dict(list(steps.groupby("method", sort=False)))
    x = tuple(map(float, of_method["gif"]["scalar" if group else "removed"].tolist()))
    lines, levels = [], []
    for key in ("gif", "fif", "pif", *toy.EXPANSIONS, "original", "retrain"):
        frame = of_method.get(key)
        if frame is None:
            continue
        values = {column: tuple(frame[column].tolist()) for column, _, _ in _MEASURES}
        if len(frame) == 1:
            levels.append(Level(key, _label(key), style(key), {column: found[0] for column, found in values.items()}))
        else:
            lines.append(Line(key, _label(key), style(key), x, values))
    return Chart(
        title="What is measured at every step",
        x=_horizontal(leaving(result), x, group),
        quantities=tuple(_quantity(*measure, steps, spec, before) for measure in _MEASURES),
        lines=tuple(lines),
        levels=tuple(levels),
        marks=(Mark(1.0, "s = 1"),) if group else (),
        symbol="s" if group else "removed",
    )


def _horizontal(count: int, x: Sequence[float], group: bool) -> Axis:
    if group:
        return Axis("influence scalar s", "linear", 0.0, max(x))
    return Axis(f"outliers removed (of {count})", "linear", 0.0, float(count))


def _quantity(
    column: str, title: str, plotted: bool, steps: pd.DataFrame, spec: Mapping[str, Any], before: Chart | None
) -> Quantity:
    if not plotted:
        number = spec["first"] if column == "weight_first" else spec["second"]
        return Quantity(column, f"{title} {number}")
    largest = float(steps.loc[steps["method"] != "original", column].max())
    high = 1.06 * largest if largest > 0 else 1.0
    for quantity in before.quantities if before is not None else ():
        if quantity.key == column and quantity.axis is not None:
            old = quantity.axis.high
            high = old if KEEP_SHARE * old <= largest <= old else high
    return Quantity(column, title, axis=Axis("", "linear", 0.0, high))


def table(result: Result) -> tuple[pd.DataFrame, dict[str, str]]:
    """The steps as people read them: one row per method and step, and the columns' titles."""
    spec, steps = result.spec, result.tables["steps"]
    position, title = ("scalar", "s") if spec["removal"] == "group" else ("removed", "outliers removed")
    titles = {"method": "", position: title}
    titles |= {
        column: f"{title} {spec[column.removeprefix('weight_')]}" if column.startswith("weight") else title
        for column, title, _ in _MEASURES
    }
    return steps[list(titles)].assign(method=steps["method"].map(_label)), titles


def words(result: Result) -> list[str]:
    """What is seen, in sentences of HTML: where the methods end, and in which measure each of them is best."""
    spec, steps = result.spec, result.tables["steps"]
    ends = steps[steps["mark"] == "one"].set_index("method")
    if spec["variant"] == "published":
        return _words_as_published(result)
    data = ""
    if spec["data"] == "published":
        data = " (The data: uniform features, mixed by the authors' matrix, and targets without noise.)"
    lead = "After the last step" if spec["removal"] == "steps" else "At s = 1"
    aims = (
        f"{lead} <b>FIF</b> stands on the optimum of the plane shown (◇, the other weights frozen), <b>GIF</b> where "
        "the total gradient is least, and <b>PIF</b> on the target weights of the full optimum (✕), where retraining "
        f"lands, which moves the other weights too.{data}"
    )
    if "koh" in ends.index:
        aims += f" {_orders(ends)}"
    methods = ends.loc[list(toy.METHODS)]
    if _together(methods, ends.loc[["original"]]):
        return [aims, "Here the three are nearly one point: the target weights are hardly coupled to the others."]
    measures = {
        "loss": "has the least loss",
        "gradient_norm": "has the least gradient",
        "distance_full": "is nearest to the retrained parameters",
    }
    parts = []
    for column, what in measures.items():
        best = str(methods[column].idxmin())
        parts.append(f"<b>{label(best)}</b> {what} ({significant(methods.loc[best, column])})")
    which = f"{parts[0]}, {parts[1]}, {parts[2]}: which one is best depends on what is meant."
    untouched = ends.loc["original", "loss"]
    worse = [label(str(name)) for name in methods.index[methods["loss"] > untouched]]
    if worse:
        which += (
            f" {' and '.join(worse)} {'has' if len(worse) == 1 else 'have'} a higher loss than the untouched model "
            f"({significant(untouched)}): the two weights alone cannot do what retraining does with all."
        )
    return [aims, which]


def _orders(ends: pd.DataFrame) -> str:
    """How far first and second order are from retraining, in the target weights, against the whole way."""
    whole, *missed = ends.loc[["original", *toy.EXPANSIONS], "distance_plane"].tolist()
    shares = [distance / whole if whole else 0.0 for distance in missed]
    return (
        f"Of the way to retraining, <b>IF</b> (first order in the removed share) misses {100 * shares[0]:.2g} %, "
        f"<b>IF2</b> (second order) {100 * shares[1]:.2g} %."
    )


def _words_as_published(result: Result) -> list[str]:
    marks = result.tables["landmarks"]
    marks = marks[marks["step"] == marks["step"].max()].set_index("landmark")

    def at(name: str) -> str:
        row = marks.loc[name]
        return f"({significant(row['weight_first'])}, {significant(row['weight_second'])})"

    return [
        f"Drawn as in the authors' notebook, GIF and FIF seem to approach the optimum {at('drawn_optimum')} (★); but "
        "the contours belong to weights 2 and 3 while the trajectories are weights 1 and 2, whose own plane has its "
        f"optimum at {at('plane_optimum')} (◇).",
        f"PIF seems to go astray, but is on its way, at a tenth of its pace, to the full optimum {at('full_optimum')}, "
        "where retraining lands; the exact version with the same data shows all three arriving where they aim.",
    ]


def _together(ends: pd.DataFrame, start: pd.DataFrame) -> bool:
    """Whether the three end points are nearer to each other than a tenth of the shortest way from the start."""
    columns = ["weight_first", "weight_second"]
    points = ends[columns].to_numpy(dtype=float)
    spread = max(float(np.linalg.norm(a - b)) for a in points for b in points)
    return spread <= 0.1 * float(np.linalg.norm(points - start[columns].to_numpy(dtype=float), axis=1).min())


def to_plotly(picture: Plane, *, dark: bool = False, height: int = 620) -> go.Figure:
    """The plane at its end as a plotly figure."""
    import plotly.graph_objects as go

    figure = go.Figure()
    line_colour = "#5b636c" if dark else "#b3bac2"
    turn = np.linspace(0, 2 * np.pi, 97)
    for ellipse in picture.contours[-1] if picture.contours else ():
        across, along = ellipse.minor * np.sin(turn), ellipse.major * np.cos(turn)
        figure.add_scatter(
            x=ellipse.x + along * np.cos(ellipse.angle) - across * np.sin(ellipse.angle),
            y=ellipse.y + along * np.sin(ellipse.angle) + across * np.cos(ellipse.angle),
            mode="lines",
            line={"color": line_colour, "width": 1},
            name=f"loss {ellipse.label}",
            hovertemplate=f"loss {ellipse.label} above the least in the plane<extra></extra>",
            showlegend=False,
        )
    for path in picture.paths:
        colour = path.style.dark if dark else path.style.colour
        look = {"color": colour, "dash": path.style.dash, "width": path.style.width}
        names = {"name": path.label, "legendgroup": path.key}
        line, points = np.array(path.line), np.array(path.points)
        figure.add_scatter(x=line[:, 0], y=line[:, 1], mode="lines", line=look, hoverinfo="skip", **names)
        figure.add_scatter(
            x=points[:, 0],
            y=points[:, 1],
            mode="markers",
            marker={"symbol": path.style.marker or "circle", "size": 6 if path.style.marker else 3, "color": colour},
            text=picture.captions,
            hovertemplate="%{text}<br>(%{x:.4g}, %{y:.4g})",
            showlegend=False,
            **names,
        )
    ink = "#e6e8eb" if dark else "#1f2328"
    for mark in picture.landmarks:
        x, y = mark.points[-1]
        figure.add_scatter(
            x=[x + mark.shift[0]],
            y=[y + mark.shift[1]],
            mode="markers",
            marker={"symbol": mark.symbol, "size": 14, "color": ink, "line": {"width": 2, "color": ink}},
            name=mark.label,
            hovertemplate=f"{mark.label}<br>(%{{x:.4g}}, %{{y:.4g}})<extra></extra>",
        )
    x0, x1, y0, y1 = picture.window
    figure.update_xaxes(title=picture.x_title, range=[x0, x1], constrain="domain")
    figure.update_yaxes(title=picture.y_title, range=[y0, y1], scaleanchor="x", constrain="domain")
    figure.update_layout(template=template(dark), height=height, title={"text": picture.title, "font": {"size": 14}})
    figure.update_layout(meta="Trajectories in the plane of the target weights", margin={"t": 110})
    return figure


def summary(result: Result) -> pd.DataFrame:
    """The rows that a terminal shows: all outliers are out, s = 1."""
    frame = result.table
    return frame.loc[frame["mark"] == "one", "method":"distance_full"].drop(columns=["step", "mark", "scalar"])
