"""Pictures of 1-D surfaces: the loss over one coordinate."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from keras_valleys.plots._curves import MAX_LABELS, draw_curve, mark_floors
from keras_valleys.plots._honesty import captions
from keras_valleys.plots._line_paths import draw_one_path, draw_paths
from keras_valleys.plots._paths import (
    as_list,
    check_axes,
    height_at,
    limits,
    path_of,
)
from keras_valleys.plots._style import (
    add_caption,
    add_legend,
    add_note,
    axis_of,
    coordinate_text,
    get_theme,
    new_figure,
    path_styles,
    style_axes,
)
from keras_valleys.valleys import find_valleys

MAX_ZOOMS = 4


def curve(surface, trajectories=(), *, theme="light"):
    """A 1-D surface unrolled, with its valleys and the paths on it.

    Every valley has a mark and its coordinate; those too narrow or too shallow to see are shown
    once more, enlarged. Angles are wrapped into the surface's range, and a step through the pole
    of the tangent is not drawn across the picture. What is not drawn is said above the axes, and
    under the picture how far paths of models of several weights are from the line.

    Args:
        surface: A 1-D `keras_valleys.surfaces.Surface`; "phi" is drawn in degrees.
        trajectories: A `keras_valleys.trajectories.Trajectory` or a list of them. One is colored
            by step. Several have the color of their optimizer, and a panel of their own below
            the curve, where they are told apart: the coordinate at each step, time runs down.
        theme: "light" or "dark".

    Returns:
        A matplotlib `Figure`.

    Raises:
        ValueError: The surface is not 1-D, the weights are not of its size, or the theme is
            unknown.

    Example:

    >>> x = np.linspace(-2, 3, 501)
    >>> wave = keras_valleys.surfaces.Surface(np.cos(np.pi * x), [x], [[1.0]], [0.0])
    >>> figure = keras_valleys.plots.curve(wave)
    >>> len(figure.axes[0].lines[0].get_xdata())
    501
    """
    look = get_theme(theme)
    check_axes("curve", surface, 1, "Use `contour` for two axes.")
    trajectories = as_list(trajectories)
    paths = [path_of(trajectory, surface) for trajectory in trajectories]
    low, top, notes = limits(surface, paths)
    narrow = _narrow_valleys(surface, top - low)
    heights = [2.8] + [1.7] * (len(paths) > 1) + [1] * bool(narrow)
    figure = new_figure(look, (8.0, 1.3 + 1.2 * sum(heights)))
    rows = iter(figure.add_gridspec(len(heights), 1, height_ratios=heights))
    axes = figure.add_subplot(next(rows))
    draw_curve(axes, surface, look, view=(low, top))
    below = figure.add_subplot(next(rows), sharex=axes) if len(paths) > 1 else None
    panels = [axes, *(_zoom(figure, next(rows), surface, narrow, look) if narrow else [])]
    if below is not None:
        handles = draw_paths(panels, below, paths, path_styles(trajectories), (surface, look))
        add_legend(figure, look, handles)
    for path in paths[:1] if below is None else []:
        draw_one_path(panels, path, surface, look)
    add_note(axes, look, notes)
    add_caption(figure, look, captions(paths, trajectories))
    return figure


def curves(surfaces, *, labels=None, theme="light"):
    """Several 1-D surfaces one below the other, each with its valleys.

    The picture of the brain teaser: the same data and the same angle, and only another exponent of
    the error turns one valley into five.

    Args:
        surfaces: List of 1-D `keras_valleys.surfaces.Surface` over the same coordinate.
        labels: One title per surface; `None` takes their loss names.
        theme: "light" or "dark".

    Returns:
        A matplotlib `Figure` with one panel per surface, each with a loss axis of its own.

    Raises:
        ValueError: No surface, one that is not 1-D, surfaces over different coordinates, labels of
            another number, or the theme is unknown.

    Example:

    >>> x = np.linspace(-2, 3, 501)
    >>> waves = [
    ...     keras_valleys.surfaces.Surface(np.cos(k * x), [x], [[1.0]], [0.0], (), f"wave {k}")
    ...     for k in (1, 2)
    ... ]
    >>> [axes.get_title("left") for axes in keras_valleys.plots.curves(waves).axes]
    ['wave 1: 2 valleys', 'wave 2: 2 valleys']
    """
    look = get_theme(theme)
    surfaces = list(surfaces)
    labels = [surface.loss_name for surface in surfaces] if labels is None else list(labels)
    _check_curves(surfaces, labels)
    figure = new_figure(look, (7.0, 0.6 + 2.1 * len(surfaces)))
    panels = figure.subplots(len(surfaces), 1, sharex=True, squeeze=False)[:, 0]
    for axes, surface, label in zip(panels, surfaces, labels, strict=True):
        low, top, notes = limits(surface)
        number = len(draw_curve(axes, surface, look, view=(low, top), mark=look.accent))
        axes.set_ylabel("loss")
        title = f"{label}: {number} valley{'s' * (number != 1)}"
        text = dict(color=look.ink, fontsize=12, fontweight="bold", parse_math=False)
        axes.set_title(title, loc="left", **text)
        add_note(axes, look, notes)
        axes.label_outer()
    return figure


def _check_curves(surfaces, labels):
    for surface in surfaces:
        check_axes("curves", surface, 1, "Evaluate each along one direction.")
    if not surfaces or len(labels) != len(surfaces):
        raise ValueError(
            "`curves` expects one surface or more, and one label for each. Received: "
            f"{len(surfaces)} surfaces, {len(labels)} labels. Use labels=None for the loss names."
        )
    spans = [(s.labels[0], *s.coordinates[0][[0, -1]].round(6).tolist()) for s in surfaces]
    if len(set(spans)) > 1:
        raise ValueError(
            "`curves` expects surfaces over one coordinate and range. "
            f"Received: {spans}. Evaluate them with the same `coordinates`."
        )


def _narrow_valleys(surface, height):
    """The valleys too shallow or too narrow to see in the whole picture, from left to right."""
    (x,) = surface.coordinates
    widths = {}
    for valley in find_valleys(surface)[:MAX_LABELS]:
        width = _half_width(valley, surface)
        shallow = valley.depth < 0.03 * height
        if np.isfinite(width) and (shallow or width < 0.01 * (x[-1] - x[0])):
            widths[valley] = width
    narrow = sorted(widths, key=widths.get)[:MAX_ZOOMS]
    return sorted(narrow, key=lambda valley: valley.position[0])


def _half_width(valley, surface):
    """The distance to the nearer ridge; infinite without one."""
    sides = [
        abs(ridge - valley.position[0])
        for ridge in valley.ridges
        if np.isfinite(height_at(ridge, surface)) and height_at(ridge, surface) > valley.loss
    ]
    return min(sides, default=np.inf) if np.isfinite(valley.depth) else np.inf


def _zoom(figure, place, surface, valleys, look):
    """One small panel for each narrow valley."""
    (x,), (label,) = surface.coordinates, surface.labels
    scale, _ = axis_of(label)
    y = np.where(np.isfinite(surface.losses), surface.losses, np.nan)
    panels = []
    for cell, valley in zip(place.subgridspec(1, len(valleys)), valleys, strict=True):
        axes = style_axes(figure.add_subplot(cell), look, size=10)
        axes.plot(x * scale, y, color=look.surface, linewidth=2.2)
        mark_floors(axes, [valley], surface, look)
        reach = 3 * _half_width(valley, surface)
        axes.set_xlim((valley.position[0] - reach) * scale, (valley.position[0] + reach) * scale)
        axes.set_ylim(valley.loss - 0.7 * valley.depth, valley.loss + 2.2 * valley.depth)
        axes.fill_between(x * scale, axes.get_ylim()[0], y, color=look.fill, linewidth=0)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=4 if len(valleys) < 3 else 2))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=3))
        name = f"enlarged: {coordinate_text(valley.position[0], label)}"
        axes.set_title(name, color=look.muted, fontsize=9)
        panels.append(axes)
    return panels
