"""The paths of many optimizers on one surface, a panel for each."""

import numpy as np

from keras_valleys.plots._contours import draw_contour, is_isometric
from keras_valleys.plots._honesty import captions
from keras_valleys.plots._panels import (
    add_title,
    by_label,
    draw_walks,
    mark_ends,
    panel_grid,
)
from keras_valleys.plots._paths import as_list, limits, path_notes, path_of
from keras_valleys.plots._style import (
    add_caption,
    add_colorbar,
    axis_of,
    degree_locator,
    get_theme,
    optimizer_color,
    style_axes,
)
from keras_valleys.valleys import find_valleys


def path_panels(surface, trajectories, *, theme="light"):
    """The paths of many optimizers on one surface.

    One panel per label holds all paths of that label, from a hollow to a filled mark; all panels
    have the same axes. Over one axis the surface stands above each column, ridges are lines through
    the panels, the lowest valley is shaded, and time runs down: paths that would hide each other on
    the curve lie side by side. Over two axes each panel is the surface from above.

    Args:
        surface: A 1-D or 2-D `keras_valleys.surfaces.Surface`; "phi" is drawn in degrees.
        trajectories: A list of `keras_valleys.trajectories.Trajectory`.
        theme: "light" or "dark".

    Returns:
        A matplotlib `Figure`.

    Raises:
        ValueError: The weights are not of the surface's size, or the theme is unknown.

    Example:

    >>> x = np.linspace(-2, 3, 501)
    >>> wave = keras_valleys.surfaces.Surface(np.cos(np.pi * x), [x], [[1.0]], [0.0])
    >>> paths = [
    ...     keras_valleys.trajectories.Trajectory([0, 1], [[0.5], [0.9]], [0.0, -0.9], label)
    ...     for label in ("sgd", "adam", "sgd")
    ... ]
    >>> figure = keras_valleys.plots.path_panels(wave, paths)
    >>> [axes.get_title("left") for axes in figure.axes[2:]]
    ['sgd', 'adam']
    """
    look = get_theme(theme)
    trajectories = as_list(trajectories)
    groups = {
        label: [path_of(trajectory, surface) for trajectory in group]
        for label, group in by_label(trajectories).items()
    }
    line = surface.losses.ndim == 1
    figure = (_on_curve if line else _on_plane)(surface, groups, look)
    known = "Shaded: the lowest valley. Lines: ridges. Time runs down." if line else ""
    paths = [path_of(trajectory, surface) for trajectory in trajectories]
    add_caption(figure, look, [*([known] if line else []), *captions(paths, trajectories)])
    return figure


def _on_curve(surface, groups, look):
    (x,), (label,) = surface.coordinates, surface.labels
    scale, text = axis_of(label)
    options = dict(header=0.75, xlabel=text, ylabel="step")
    figure, panels, headers = panel_grid(list(groups), look, **options)
    low, top, _ = limits(surface)
    y = np.where(np.isfinite(surface.losses), surface.losses, np.nan)
    for number, axes in enumerate(headers):
        style_axes(axes, look, size=10, ylabel="" if number else "loss")
        axes.plot(x * scale, y, color=look.surface, linewidth=1.6)
        axes.fill_between(x * scale, low - 0.1 * (top - low), y, color=look.fill, linewidth=0)
        axes.set_ylim(low - 0.1 * (top - low), top)
        axes.set_xlim(x[0] * scale, x[-1] * scale)
        axes.xaxis.set_major_locator(degree_locator(label))
        axes.tick_params(labelbottom=False, labelleft=not number)
    valleys = find_valleys(surface)
    last = max((path.steps[-1] for group in groups.values() for path in group), default=1)
    for axes, (name, paths) in zip(panels, groups.items(), strict=True):
        for valley in valleys:
            ends = [ridge * scale for ridge in valley.ridges]
            if valley.index == 0:
                axes.axvspan(*ends, color=look.fill, linewidth=0, zorder=0)
            for end in ends:
                axes.axvline(end, color=look.surface, linewidth=0.6, zorder=1)
        draw_walks(axes, paths, name, surface, look)
        add_title(axes, look, name, _note(paths))
    panels[0].set_ylim(1.04 * last, -0.04 * last)
    panels[0].yaxis.get_major_locator().set_params(integer=True, nbins=5)
    return figure


def _on_plane(surface, groups, look):
    (x_scale, x_text), (y_scale, y_text) = map(axis_of, surface.labels)
    across, up = (axis[-1] - axis[0] for axis in surface.coordinates)
    equal = is_isometric(surface) and across / 2 <= up <= 2 * across  # else panels are slivers
    height = 2.7 * up / across if equal else 2.3
    options = dict(size=(2.7, height), xlabel=x_text, ylabel=y_text)
    figure, panels, _ = panel_grid(list(groups), look, **options)
    contours = None
    for axes, (name, paths) in zip(panels, groups.items(), strict=True):
        texts = axes.get_xlabel(), axes.get_ylabel()
        shown = (
            axes.xaxis.get_tick_params()["labelbottom"],
            axes.yaxis.get_tick_params()["labelleft"],
        )
        contours, _ = draw_contour(axes, surface, look)
        style_axes(axes, look, xlabel=texts[0], ylabel=texts[1], size=10)
        axes.tick_params(labelbottom=shown[0], labelleft=shown[1])
        axes.set_aspect("equal" if equal else "auto")
        color = optimizer_color(name)
        for path in paths:
            columns = path.points[:, 0] * x_scale, path.points[:, 1] * y_scale
            line = path.broken(np.stack(columns, axis=1)).T
            axes.plot(*line, color=color, linewidth=1.2, alpha=0.85, zorder=4)
            mark_ends(axes, *columns, color, look)
        add_title(axes, look, name, _note(paths))
    if contours is not None:
        bar = add_colorbar(contours, panels, look, label=surface.loss_name.replace("_", " "))
        bar.set_ticks(contours.levels[1::2], labels=[f"{v:.3g}" for v in contours.levels[1::2]])
        bar.ax.minorticks_off()
    return figure


def _note(paths):
    return "; ".join(note for note in path_notes(paths) if note)
