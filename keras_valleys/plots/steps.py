"""Pictures over the steps of a training."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from keras_valleys._checks import as_list, check_kind, is_whole, refusal, shortened
from keras_valleys.plots.paths import sentence, sources_of
from keras_valleys.plots.style import (
    add_caption,
    add_legend,
    add_note,
    get_theme,
    name_of,
    new_figure,
    path_styles,
    style_axes,
)
from keras_valleys.surfaces import axis_text, shown_as
from keras_valleys.trajectories import (
    Projection,
    Trajectories,
    as_trajectories,
    kind_words,
    loss_text,
)

PAIR: tuple[Any, Any] = (
    "-",
    (0, (4, 1.5)),
)  # line styles: what is true, and what it is compared with


def loss_by_step(trajectories: Trajectories, *, theme: str = "light") -> Figure:
    """The loss at each step, recorded or true as the paths have it; the axis says which.

    Args:
        trajectories: A `keras_valleys.trajectories.Trajectory` or a list of them.
        theme: "light" or "dark".

    Returns:
        A matplotlib `Figure`. The loss axis is logarithmic where positive losses span more than a
        factor of 1000. Unknown losses (NaN) are gaps.

    Raises:
        ValueError: The theme is unknown.

    Example:

    >>> path = keras_valleys.trajectories.Trajectory([0, 1], [[0.8], [0.7]], [0.61, np.nan])
    >>> figure = keras_valleys.plots.loss_by_step(path)
    >>> figure.axes[0].lines[0].get_ydata()
    array([0.61,  nan])
    """
    look, paths = get_theme(theme), as_trajectories("loss_by_step", trajectories)
    rows = [np.asarray(path.losses, "float64") for path in paths]
    mixed = len({path.loss_kind for path in paths}) > 1
    kinds = [f", {path.loss_kind}" * mixed for path in paths]
    axes = _over_steps(paths, rows, look, loss_text(paths), kinds)
    add_caption(axes.figure, look, sources_of(paths))
    _scale(axes, np.concatenate([np.empty(0), *rows]), 1000)
    return axes.figure


def weight_by_step(
    trajectories: Trajectories,
    *,
    index: int = 0,
    name: str = "weight",
    unit: str = "",
    theme: str = "light",
) -> Figure:
    """One weight at each step.

    Args:
        trajectories: A `keras_valleys.trajectories.Trajectory` or a list of them.
        index: Number of the weight in the flat weight vector.
        name: Name of the weight.
        unit: Its unit; "rad" is drawn in degrees.
        theme: "light" or "dark".

    Returns:
        A matplotlib `Figure`.

    Raises:
        ValueError: A trajectory has no weight of that index, or the theme is unknown.

    Example:

    >>> path = keras_valleys.trajectories.Trajectory([0, 1], [[np.pi / 4], [0.0]], [0.6, 0.5])
    >>> figure = keras_valleys.plots.weight_by_step(path, name="phi", unit="rad")
    >>> figure.axes[0].lines[0].get_ydata()
    array([45.,  0.])
    """
    look = get_theme(theme)
    paths = as_trajectories("weight_by_step", trajectories)
    sizes = [path.weights.shape[1] for path in paths]
    if not is_whole(index) or any(not -size <= index < size for size in sizes):
        raise refusal(
            "weight_by_step",
            "`index` to be a place in the flat weight vector",
            f"index={shortened(index)}, trajectories of {sizes} weights",
            "Use index=0 for the first weight.",
        )
    scale, _ = shown_as(unit)
    rows = [np.asarray(path.weights[:, index], "float64") * scale for path in paths]
    return _over_steps(paths, rows, look, axis_text(name, unit)).figure


def _over_steps(paths, rows, look, ylabel, kinds=None):
    figure = new_figure(look, (7.0, 4.0))
    axes = style_axes(figure.add_subplot(), look, xlabel="step", ylabel=ylabel)
    axes.xaxis.get_major_locator().set_params(integer=True)
    diverged, handles = 0, []
    styles, kinds = path_styles(paths), [""] * len(paths) if kinds is None else kinds
    for path, row, style, kind in zip(paths, rows, styles, kinds, strict=True):
        diverged += int(np.sum(np.isinf(row) | ~np.all(np.isfinite(path.weights), axis=1)))
        every = max(1, len(row) // (120 if len(paths) == 1 else 12))
        size = 3 if len(paths) == 1 else 5
        options = dict(style, label=style["label"] + kind, linewidth=1.8, markersize=size)
        handles += _draw_broken(axes, path, row, every, **options)
    add_note(axes, look, [f"{diverged} steps diverged" if diverged else ""])
    if len(paths) > 1:
        add_legend(figure, look, handles)
    return axes


def honesty(projections: Projection | Iterable[Projection], *, theme: str = "light") -> Figure:
    """How far the picture of a path on a surface can be trusted, step by step.

    Above, the true loss beside the slice's, at the nearest point of the line or plane: where they
    part, the surface does not show what the optimizer saw. Without an objective it is the recorded
    loss, of single batches in training mode, and named so: it is not to be compared with the
    surface. Below, the distance from the line or plane beside the distance from the start. Under
    the picture, each run in words.

    Args:
        projections: What `keras_valleys.trajectories.on_surface` returns, or a list of that; with
            an objective, or there are no losses on the plane.
        theme: "light" or "dark".

    Returns:
        A matplotlib `Figure`. An axis is logarithmic where its values span more than a factor of
        1000. A few rows that blew up are cut, which is said above; what is not finite is a gap.

    Raises:
        ValueError: There is no projection, or the theme is unknown.

    Example:

    >>> line = keras_valleys.surfaces.Surface(np.zeros(2), [[0, 1]], [[2.0, 0.0]], np.zeros(2))
    >>> path = keras_valleys.trajectories.Trajectory([0, 1], [[0, 1], [6, 9]], [3.0, 2.0])
    >>> figure = keras_valleys.plots.honesty(keras_valleys.trajectories.on_surface(path, line))
    >>> figure.axes[1].lines[0].get_ydata()
    array([1., 9.])
    """
    look = get_theme(theme)
    runs = as_list(projections)
    for run in runs:
        check_kind("honesty", "projection", projections=run)
    if not runs:
        raise refusal(
            "honesty",
            "one projection or more",
            "none",
            "Use `keras_valleys.trajectories.on_surface(trajectory, surface, objective)`.",
        )
    place = "line" if runs[0].coordinates.shape[1] == 1 else "plane"
    figure = new_figure(look, (8.0, 6.0 + 0.25 * max(0, len(runs) - 3)))
    upper, lower = figure.subplots(2, 1, sharex=True)
    style_axes(upper, look, ylabel="loss")
    style_axes(lower, look, xlabel="step", ylabel="distance")
    lower.xaxis.get_major_locator().set_params(integer=True)
    losses = [(run.losses, run.plane_losses) for run in runs]
    distances = [(run.distances, run.travelled) for run in runs]
    _draw_pairs(upper, runs, losses, (kind_words(runs), f"slice (on the {place})"), look)
    handles = _draw_pairs(lower, runs, distances, (f"from the {place}", "from the start"), look)
    _scale(upper, _cut(upper, np.concatenate(losses, axis=1), look), 1000)
    _scale_distances(lower, _cut(lower, np.concatenate(distances, axis=1), look))
    if len(runs) > 1:
        add_legend(figure, look, handles, loc="outside upper center")
    of_slice = dict.fromkeys(run.plane_source for run in runs if run.plane_source)
    slices = [f"Slice: {source}." for source in of_slice]
    words = [sentence(run, name_of(run, k)) for k, run in enumerate(runs)]
    add_caption(figure, look, [*words, *sources_of(runs), *slices])
    return figure


def _draw_broken(axes, path, values, every, **options):
    """Draw a line that breaks before each row to which no step led, with a mark at some rows.

    Rows to which no step led have one too: behind the last step there would be nothing else.
    """
    moved = np.flatnonzero(np.isin(path.steps, path.no_steps))
    marks = np.union1d(np.arange(0, len(path.steps), every), moved)
    marks += np.searchsorted(moved, marks, side="right")  # a gap before each of them
    values = np.insert(np.where(np.isfinite(values), values, np.nan), moved, np.nan)
    steps = np.insert(path.steps, moved, path.steps[moved])
    return axes.plot(steps, values, markevery=marks.tolist(), **options)


def _draw_pairs(axes, runs, pairs, names, look):
    """Two lines per run, in its color, and above them which is which."""
    handles = []
    for run, pair, style in zip(runs, pairs, path_styles(runs), strict=True):
        mark = dict(color=style["color"], marker=style["marker"], markersize=4.5)
        every = max(1, len(run.steps) // 12)
        for values, line in zip(pair, PAIR, strict=True):
            _draw_broken(axes, run, values, every, linestyle=line, linewidth=1.6, **mark)
        handles.append(Line2D([], [], label=style["label"], **mark))
    kinds = [
        Line2D([], [], color=look.ink, linestyle=line, linewidth=1.6, label=name)
        for line, name in zip(PAIR, names, strict=True)
    ]
    place = dict(loc="lower left", bbox_to_anchor=(0.0, 0.98), ncols=2, borderaxespad=0.0)
    axes.legend(handles=kinds, frameon=False, labelcolor=look.ink, fontsize=9, **place)
    return handles


def _scale(axes, values, factor):
    """Logarithmic where all values are positive and span more than a factor."""
    finite = values[np.isfinite(values)]
    if finite.size and finite.min() > 0 and finite.max() > factor * finite.min():
        axes.set_yscale("log")


def _cut(axes, values, look):
    """Leave out what a few rows that blew up would flatten all others by, and say so above."""
    finite = values[np.isfinite(values)]
    top = 3 * np.quantile(finite, 0.9) if finite.size else 0.0
    if not 0 < 10 * top < finite.max(initial=0.0):
        return finite
    low = float(finite.min())
    axes.set_ylim(low - 0.05 * (top - low), top)
    add_note(axes, look, [f"cut at {top:.3g}, {np.sum(finite > top)} values above"])
    return finite[finite <= top]


def _scale_distances(axes, finite):
    """From zero, or logarithmic where the path blew up."""
    positive = finite[finite > 0]
    if positive.size and positive.max() > 1000 * np.median(positive):
        axes.set_yscale("log")
        axes.set_ylim(bottom=max(positive.min(), np.median(positive) / 1000))
    else:
        axes.set_ylim(bottom=0)
