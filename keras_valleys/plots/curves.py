"""Loss curves: a surface of one axis, with valleys and paths."""

from collections.abc import Iterable

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from keras_valleys._checks import as_labels, as_list, refusal
from keras_valleys.plots.paths import (
    captions,
    check_axes,
    dropped_of,
    height_at,
    limits,
    loss_label,
    path_of,
    repeats,
    statistics_of,
    valleys_of,
)
from keras_valleys.plots.style import (
    add_caption,
    add_colorbar,
    add_legend,
    add_note,
    axis_of,
    get_theme,
    locator_of,
    new_figure,
    path_styles,
    place_text,
    style_axes,
)
from keras_valleys.surfaces import Surface
from keras_valleys.trajectories import Trajectories, as_trajectories
from keras_valleys.valleys import BORDER, Valleys, axes_of, count_text

MAX_ZOOMS = 4
MARKS = 12  # on each path, so that paths of one color are told apart
MAX_LABELS = 9
BORDER_MARK = {"gid": "border", "marker": "s"}  # open, as that of a valley, but no ring


def curve(
    surface: Surface,
    trajectories: Trajectories = (),
    *,
    valleys: Valleys | None = None,
    persistence: float | None = None,
    theme: str = "light",
) -> Figure:
    """A 1-D surface unrolled, with its valleys and the paths on it.

    Every valley has a mark and its coordinate; those too narrow or too shallow to see are shown
    once more, enlarged. What is only lowest at the border has an open square and says so. Where the
    surface has a period, paths are wrapped into its range, and a step round its end is not drawn
    across the picture. What is not drawn is said above the axes, and under the picture how far
    paths of models of several weights are from the line.

    Args:
        surface: A 1-D `keras_valleys.surfaces.Surface`; radians are drawn in degrees.
        trajectories: A `keras_valleys.trajectories.Trajectory` or a list of them. One is colored
            by step. Several have the color of their optimizer, and a panel of their own below
            the curve, where they are told apart: the coordinate at each step, time runs down.
        valleys: What `keras_valleys.valleys.find_valleys` found on the surface, such as with an
            objective; `None` finds them.
        persistence: As for `find_valleys`, where `valleys` is `None`.
        theme: "light" or "dark".

    Returns:
        A matplotlib `Figure`.

    Raises:
        ValueError: The surface is not 1-D, the weights are not of its size, `persistence` is
            negative or given with `valleys`, these are another surface's, or the theme is unknown.

    Example:

    >>> x = np.linspace(-2, 3, 501)
    >>> wave = keras_valleys.surfaces.Surface(np.cos(np.pi * x), [x], [[1.0]], [0.0])
    >>> figure = keras_valleys.plots.curve(wave)
    >>> len(figure.axes[0].lines[0].get_xdata())
    501
    """
    look = get_theme(theme)
    check_axes("curve", surface, 1, "Use `contour` for two axes.")
    valleys = valleys_of("curve", surface, valleys, persistence)
    surface = valleys.surface
    trajectories = as_trajectories("curve", trajectories)
    paths = [path_of(trajectory, surface) for trajectory in trajectories]
    low, top, notes = limits(surface, paths, valleys=valleys)
    narrow = _narrow_valleys(valleys, top - low)
    heights = [2.8] + [1.7] * (len(paths) > 1) + [1] * bool(narrow)
    figure = new_figure(look, (8.0, 1.3 + 1.2 * sum(heights)))
    rows = iter(figure.add_gridspec(len(heights), 1, height_ratios=heights))
    axes = figure.add_subplot(next(rows))
    draw_curve(axes, valleys, look, view=(low, top))
    axes.set_ylabel(loss_label(surface, trajectories))
    below = figure.add_subplot(next(rows), sharex=axes) if len(paths) > 1 else None
    panels = [axes, *(_zoom(figure, next(rows), surface, narrow, look) if narrow else [])]
    if below is not None:
        handles = draw_paths(panels, below, paths, path_styles(trajectories), surface, look)
        add_legend(figure, look, handles)
    for path in paths[:1] if below is None else []:
        draw_one_path(panels, path, surface, look)
    add_note(axes, look, notes)
    add_caption(figure, look, captions(surface, paths, trajectories, valleys=valleys))
    return figure


def curves(
    surfaces: Iterable[Surface],
    *,
    labels: Iterable[str] | None = None,
    valleys: Iterable[Valleys] | None = None,
    persistence: float | None = None,
    theme: str = "light",
) -> Figure:
    """Several 1-D surfaces one below the other, each with its valleys.

    The picture of the brain teaser: the same data and the same angle, and only another exponent of
    the error turns one valley into five.

    Args:
        surfaces: List of 1-D `keras_valleys.surfaces.Surface` over the same coordinate.
        labels: One title per surface; `None` takes their loss names.
        valleys: What `keras_valleys.valleys.find_valleys` found on each surface, in their order;
            `None` finds them.
        persistence: As for `find_valleys`, of all surfaces, where `valleys` is `None`.
        theme: "light" or "dark".

    Returns:
        A matplotlib `Figure` with one panel per surface, each with a loss axis of its own.

    Raises:
        ValueError: No surface, one that is not 1-D, surfaces over different coordinates, labels or
            valleys of another number, `persistence` is negative or given with `valleys`, these are
            of other surfaces, or the theme is unknown.

    Example:

    >>> x = np.linspace(-2, 3, 501)
    >>> waves = [
    ...     keras_valleys.surfaces.Surface(np.cos(k * x), [x], [[1.0]], [0.0], (), f"wave {k}")
    ...     for k in (1, 2)
    ... ]
    >>> [axes.get_title("left") for axes in keras_valleys.plots.curves(waves).axes]
    ['wave 1: 2 lowest at the border', 'wave 2: 2 valleys']
    """
    look = get_theme(theme)
    surfaces = as_list(surfaces)
    for surface in surfaces:
        check_axes("curves", surface, 1, "Evaluate each along one direction.")
    labels = (
        [surface.loss_name for surface in surfaces]
        if labels is None
        else as_labels("curves", labels)
    )
    _check_curves(surfaces, labels)
    given = [None] * len(surfaces) if valleys is None else as_list(valleys)
    if len(given) != len(surfaces):
        raise refusal(
            "curves",
            "the `valleys` of each surface",
            f"{len(given)} for {len(surfaces)} surfaces",
            "Use `[find_valleys(surface) for surface in surfaces]`.",
        )
    found = [valleys_of("curves", *pair, persistence) for pair in zip(surfaces, given, strict=True)]
    surfaces = [one.surface for one in found]
    figure = new_figure(look, (7.0, 0.6 + 2.1 * len(surfaces)))
    panels = figure.subplots(len(surfaces), 1, sharex=True, squeeze=False)[:, 0]
    for axes, one, label in zip(panels, found, labels, strict=True):
        low, top, notes = limits(one.surface, valleys=one)
        draw_curve(axes, one, look, view=(low, top), mark=look.accent)
        axes.set_ylabel("loss")
        title = f"{label}: {count_text(one)}"
        text = dict(color=look.ink, fontsize=12, fontweight="bold", parse_math=False)
        axes.set_title(title, loc="left", **text)
        add_note(axes, look, notes)
        axes.label_outer()
    named = zip(labels, found, strict=True)
    dropped = [f"{label}: {line}" for label, one in named for line in dropped_of(one)]
    known = dict.fromkeys(line for surface in surfaces for line in statistics_of(surface))
    add_caption(figure, look, [*dropped, *known])
    return figure


def _check_curves(surfaces, labels):
    if not surfaces or len(labels) != len(surfaces):
        raise refusal(
            "curves",
            "one surface or more, and one label for each",
            f"{len(surfaces)} surfaces, {len(labels)} labels",
            "Use labels=None for the loss names.",
        )
    spans = [
        (s.labels[0], s.units[0], *s.coordinates[0][[0, -1]].round(6).tolist()) for s in surfaces
    ]
    if len(set(spans)) > 1:
        raise refusal(
            "curves",
            "surfaces over one coordinate and range",
            str(spans),
            "Evaluate them with the same `coordinates`.",
        )


def _narrow_valleys(valleys, height):
    """The valleys too shallow or too narrow to see in the whole picture, from left to right."""
    surface, widths = valleys.surface, {}
    (x,) = surface.coordinates
    for valley in valleys[:MAX_LABELS]:
        width = _half_width(valley, surface)
        shallow = valley.depth < 0.03 * height
        if np.isfinite(width) and (shallow or width < 0.01 * (x[-1] - x[0])):
            widths[valley] = width
    narrow = sorted(widths, key=lambda valley: widths[valley])[:MAX_ZOOMS]
    return sorted(narrow, key=lambda valley: valley.position[0])


def _half_width(valley, surface):
    """The distance to the nearer ridge; infinite without one, and for what is no valley."""
    sides = [
        abs(ridge - valley.position[0])
        for ridge in valley.ridges
        if np.isfinite(height_at(ridge, surface)) and height_at(ridge, surface) > valley.loss
    ]
    return min(sides, default=np.inf) if np.isfinite(valley.depth) else np.inf


def _zoom(figure, place, surface, valleys, look):
    """One small panel for each narrow valley; it ends where the curve does."""
    scale, _ = axis_of(surface)
    x, y = _around(surface)
    panels = []
    for cell, valley in zip(place.subgridspec(1, len(valleys)), valleys, strict=True):
        axes = style_axes(figure.add_subplot(cell), look, size=10)
        axes.plot(x * scale, y, color=look.surface, linewidth=2.2)
        _mark_places(axes, [valley.position[0] * scale], [valley.loss], look)
        reach = 3 * _half_width(valley, surface)
        ends = np.clip(valley.position[0] + np.array([-reach, reach]), x[0], x[-1])
        axes.set_xlim(*(ends * scale))
        axes.set_ylim(valley.loss - 0.7 * valley.depth, valley.loss + 2.2 * valley.depth)
        axes.fill_between(x * scale, axes.get_ylim()[0], y, color=look.fill, linewidth=0)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=4 if len(valleys) < 3 else 2))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=3))
        name = f"enlarged: {place_text(valley.position, surface)}"
        axes.set_title(name, color=look.muted, fontsize=9)
        panels.append(axes)
    return panels


def _around(surface):
    """A curve, on a ring with one more round on either side: a valley at its end is whole."""
    (x,), (axis,) = surface.coordinates, axes_of(surface)
    y = np.where(np.isfinite(surface.losses), surface.losses, np.nan)
    if not axis.joined:
        return x, y
    rounds = axis.nodes + (axis.period or 0.0) * np.arange(-1, 2)[:, None]
    return rounds.ravel(), np.tile(y[: len(axis.nodes)], 3)


def draw_paths(panels, below, paths, styles, surface, look):
    """Several paths on the curve, and below it the coordinate of each at each step.

    Args:
        panels: The axes that show the curve, the whole one first.
        below: The axes for the steps.
        paths: List of `Path`.
        styles: What `path_styles` returns for them.
        surface: The surface.
        look: The `Theme`.

    Returns:
        One handle for the legend per path.
    """
    scale, text = axis_of(surface)
    style_axes(below, look, xlabel=text, ylabel="step")
    panels[0].set_xlabel("")
    panels[0].tick_params(labelbottom=False)
    handles = []
    for path, style in zip(paths, styles, strict=True):
        x, y, steps = path.points[:, 0] * scale, path.heights, path.steps
        line = dict(color=style["color"], linestyle=style["linestyle"], label=style["label"])
        for axes in panels:
            columns = path.broken(np.stack([x, y], axis=1)).T
            axes.plot(*columns, **line, linewidth=1.3, alpha=0.75, zorder=4)
            _mark_ends(axes, x, y, style, look)
        columns = path.broken(np.stack([x, steps], axis=1)).T
        every = max(1, len(x) // MARKS)
        mark = dict(marker=style["marker"], markersize=4.5, linewidth=1.6)
        below.plot(*columns, **line, **mark, markevery=every, zorder=4)
        _mark_ends(below, x, steps, style, look)
        handles.append(Line2D([], [], **line, **{**mark, "markersize": 6}))
    below.set_ylim(*_steps_down(paths))
    below.yaxis.get_major_locator().set_params(integer=True)
    return handles


def _steps_down(paths):
    steps = np.concatenate([path.steps for path in paths])
    first, last = (steps.min(), steps.max()) if steps.size else (0, 1)
    room = 0.06 * max(last - first, 1)
    return last + room, first - room


def _mark_ends(axes, x, y, style, look):
    """A hollow mark where a path begins, a filled one where it ends."""
    mark = dict(marker=style["marker"], linestyle="", markersize=8, markeredgewidth=1.4, zorder=5)
    color = style["color"]
    axes.plot(x[:1], y[:1], markerfacecolor=look.background, markeredgecolor=color, **mark)
    axes.plot(x[-1:], y[-1:], markerfacecolor=color, markeredgecolor=look.background, **mark)


def draw_one_path(panels, path, surface, look):
    """One path, colored by step."""
    scale, _ = axis_of(surface)
    x, y = path.points[:, 0] * scale, path.heights
    points = [_color_by_step(axes, x, y, path, look) for axes in panels]
    add_colorbar(points[0], panels[0], look, label="step")


def _color_by_step(axes, x, y, path, look):
    corners = np.stack([x, y], axis=1)
    segments = np.stack([corners[:-1], corners[1:]], axis=1)
    drawn = ~path.jumps & np.all(np.isfinite(segments), axis=(1, 2))
    span = path.steps[[0, -1]] if len(path.steps) else (0, 1)
    options = dict(cmap=look.steps, clim=span)
    line = LineCollection(
        segments[drawn], array=path.steps[:-1][drawn], linewidths=1, alpha=0.45, zorder=4, **options
    )
    axes.add_collection(line, autolim=False)
    seen = np.all(np.isfinite(corners), axis=1)
    return axes.scatter(
        x[seen],
        y[seen],
        c=path.steps[seen],
        s=24,
        linewidths=0,
        zorder=5,
        cmap=look.steps,
        vmin=span[0],
        vmax=span[1],
    )


def draw_curve(axes, valleys, look, *, view, mark=None):
    """Draw a 1-D surface with its valleys on axes that show the losses `view = (low, top)`.

    Args:
        axes: Matplotlib axes.
        valleys: The `Valleys` of a closed 1-D surface.
        look: The `Theme`.
        view: Lowest and highest loss to be seen.
        mark: Color of the valleys' marks.
    """
    surface = valleys.surface
    (x,) = surface.coordinates
    scale, text = axis_of(surface)
    low, top = view
    style_axes(axes, look, xlabel=text, ylabel=surface.loss_name.replace("_", " "))
    y = np.where(np.isfinite(surface.losses), surface.losses, np.nan)
    line = {"linestyle": "-", "linewidth": 2.2, "marker": ""}
    axes.plot(x * scale, y, color=look.surface, zorder=2, **line)
    floor = low - 0.24 * (top - low) if valleys else low - 0.05 * (top - low)
    axes.fill_between(x * scale, floor, y, color=look.fill, linewidth=0, zorder=1)
    axes.set_xlim(x[0] * scale, x[-1] * scale)
    axes.set_ylim(floor, top + 0.03 * (top - low))
    axes.xaxis.set_major_locator(locator_of(surface))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, prune="lower"))
    _label_valleys(axes, valleys, surface, look)
    mark_floors(axes, valleys, surface, look, color=mark)


def _label_valleys(axes, valleys, surface, look):
    (x,) = surface.coordinates
    scale, _ = axis_of(surface)
    shown = sorted(valleys[:MAX_LABELS], key=lambda valley: valley.position[0])
    size = 9 if axes.figure.get_figwidth() >= 4 else 7  # the words for the border are long
    gaps = [room_for_border(axes, size) if valley.on_border else 0.1 for valley in shown]
    places = spread([v.position[0] * scale for v in shown], gaps, x[0] * scale, x[-1] * scale)
    bottom, top = axes.get_ylim()
    height = bottom + 0.11 * (top - bottom)
    for valley, place in zip(shown, places, strict=True):
        position = valley.position[0] * scale
        axes.plot(
            [position, position, place],
            [valley.loss, (height + valley.loss) / 2, height],
            color=look.muted,
            linewidth=0.8,
            linestyle=":",
            marker="",
            zorder=2,
        )
        axes.text(
            place,
            height,
            BORDER if valley.on_border else place_text(valley.position, surface),
            color=look.muted if valley.on_border else look.ink,
            fontsize=size if valley.on_border else 10,
            ha="center",
            va="top",
            zorder=3,
        )


def room_for_border(axes, size):
    """The share of the axes that the words for the border take, about."""
    width = axes.figure.get_figwidth() - 0.9  # beside it are the numbers
    return 0.58 * size / 72 * len(BORDER) / width


def mark_floors(axes, valleys, surface, look, *, color=None):
    """A ring at the floor of each valley, also where it is not labelled.

    What is only lowest at the border has an open square.
    """
    scale, _ = axis_of(surface)
    for on_border, options in ((False, {"color": color}), (True, BORDER_MARK)):
        shown = [valley for valley in valleys if valley.on_border == on_border]
        places, owners = repeats(shown, surface)
        if shown or not on_border:
            losses = [valley.loss for valley in owners]
            _mark_places(axes, places[:, 0] * scale, losses, look, **options)


def _mark_places(axes, x, y, look, *, color=None, gid="valleys", marker="o"):
    axes.plot(
        x,
        y,
        gid=gid,
        linestyle="",
        marker=marker,
        markersize=6,
        zorder=3,
        clip_on=False,
        markerfacecolor=look.background,
        markeredgecolor=color or look.ink,
        markeredgewidth=1.3 if color is None else 2.2,
    )


def spread(positions, gaps, start, stop):
    """Rising positions, moved as little as need be to have room: each a share of the range."""
    places, shares = list(positions), np.broadcast_to(gaps, len(positions)).tolist()
    room = [(stop - start) * share / 2 for share in shares]  # on either side
    for i in range(len(places)):
        least = places[i - 1] + (room[i - 1] + room[i]) if i else start + room[i]
        places[i] = max(places[i], least)
    for i in reversed(range(len(places))):
        last = i + 1 == len(places)
        most = stop - room[i] if last else places[i + 1] - (room[i] + room[i + 1])
        places[i] = min(places[i], most)
    return places
