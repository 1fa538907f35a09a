"""Several surfaces over the same axes side by side, on one scale of colors or heights."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from keras_valleys._checks import as_list, refusal, shortened
from keras_valleys.plots.contours import (
    draw_contour,
    draw_path,
    is_isometric,
    labelled,
    lowest_of,
)
from keras_valleys.plots.panels import panel_grid
from keras_valleys.plots.paths import captions, check_axes, diverged_note, path_notes, path_of
from keras_valleys.plots.paths import height_on as height_of
from keras_valleys.plots.scales import check_scale, contour_levels
from keras_valleys.plots.style import (
    COLORS,
    LINES,
    add_caption,
    add_colorbar,
    add_legend,
    axis_of,
    get_theme,
    label_levels,
    locator_of,
    new_figure,
    path_styles,
    style_axes,
    with_colors,
)
from keras_valleys.surfaces import Surface
from keras_valleys.trajectories import Trajectories, as_trajectories
from keras_valleys.valleys import closed

MOST_PANELS = 12
MOST_CURVES = len(COLORS)
MOST_LETTERS = 28  # of a title


def beside(
    surfaces: Mapping[str | tuple[str, str], Surface] | Iterable[Surface],
    trajectory: Trajectories = (),
    *,
    levels: int | Sequence[float] | None = None,
    scale: str = "auto",
    limits: tuple[float, float] | None = None,
    title: str | None = None,
    cmap: str | Colormap | None = None,
    theme: str = "light",
) -> Figure:
    """Several surfaces side by side, such as train and test loss: one scale for all.

    Planes are panels with shared axes, the same levels and one color bar. In each its lowest point
    is marked and its loss written, as in `contour`, and the path drawn. Lines are curves on the
    same axes, their lowest points marked; the path is on each of them.

    Args:
        surfaces: What `keras_valleys.surfaces.evaluate_all` returned, or some of it: a dictionary
            of names to 1-D or 2-D `keras_valleys.surfaces.Surface`; or a list, of which each is
            called by its loss name. All of one loss or metric, since they share a scale, and of
            axes in the same units. Of planes at most 12, of lines 6.
        trajectory: A `keras_valleys.trajectories.Trajectory` over the weights of the surfaces, or
            a list of them.
        levels: As for `contour`, of planes.
        scale: As for `contour`. On curves "log" is a logarithmic axis; "auto" is linear there.
        limits: The lowest and the highest loss to tell apart.
        title: Heading of the picture; `None` is none.
        cmap: As for `contour`, of planes.
        theme: "light" or "dark".

    Returns:
        A matplotlib `Figure`.

    Raises:
        ValueError: No surfaces or too many, lines beside planes, different losses or units, weights
            that are not of their size, or what `contour` refuses.

    Example:

    >>> x, y = np.linspace(-2, 3, 51), np.linspace(-1, 3, 41)
    >>> bowls = {
    ...     name: keras_valleys.surfaces.Surface(
    ...         (x[:, None] - at) ** 2 + y**2, (x, y), np.eye(2), np.zeros(2)
    ...     )
    ...     for name, at in (("train", 0), ("test", 1))
    ... }
    >>> figure = keras_valleys.plots.beside(bowls)
    >>> [round(float(axes.lines[0].get_xdata()[0]), 2) for axes in figure.axes[:2]]
    [0.0, 1.0]
    """
    look = with_colors(get_theme(theme), cmap)
    levels, limits = check_scale("beside", scale, levels, limits)
    named = _named(surfaces)
    closed_ones = [closed(surface) for surface in named.values()]
    trajectories = as_trajectories("beside", trajectory, "trajectory")
    paths = [[path_of(one, surface) for one in trajectories] for surface in closed_ones]
    spread = {"levels": levels, "scale": scale, "limits": limits}
    draw = _curves if closed_ones[0].losses.ndim == 1 else _panels
    figure = draw(
        dict(zip(named, closed_ones, strict=True)), paths, trajectories, look, title, spread
    )
    lines = [
        line
        for surface, own in zip(closed_ones, paths, strict=True)
        for line in captions(surface, own, trajectories, with_losses=False)
    ]
    add_caption(figure, look, dict.fromkeys(lines))
    return figure


def _panels(surfaces, paths, trajectories, look, title, spread):
    known = _shared_levels(surfaces.values(), spread)
    first = next(iter(surfaces.values()))
    low, high = _ranges(surfaces.values())
    across, up = (high - low).tolist()
    equal = all(map(is_isometric, surfaces.values())) and across / 2 <= up <= 2 * across
    size = (3.0, 3.0 * up / across if equal else 2.6)
    texts = [axis_of(first, k)[1] for k in (0, 1)]
    figure, panels, _ = panel_grid(
        list(surfaces), look, size=size, xlabel=texts[0], ylabel=texts[1]
    )
    above = 0.35 * bool(trajectories) + 0.4 * (title is not None)
    figure.set_figheight(figure.get_figheight() + 0.25 + above)
    shown, entries = None, []
    for axes, (name, surface), own in zip(panels, surfaces.items(), paths, strict=True):
        labels = axes.get_xlabel(), axes.get_ylabel()
        ticks = axes.xaxis.get_tick_params(), axes.yaxis.get_tick_params()
        ticks = ticks[0]["labelbottom"], ticks[1]["labelleft"]
        contours, marks = draw_contour(axes, surface, look, known=known)
        shown = contours or shown
        style_axes(axes, look, xlabel=labels[0], ylabel=labels[1], size=10)
        axes.tick_params(labelbottom=ticks[0], labelleft=ticks[1])
        axes.set_aspect("equal" if equal else "auto")
        _add_name(axes, look, name)
        notes = [str(mark.get_label()) for mark in marks if mark.get_gid() != "diverged"]
        notes = [note for note in notes if note != "diverged"]
        _add_box(axes, look, [*notes, diverged_note(surface), *path_notes(own)])
        entries = [
            draw_path(axes, path, surface, style, look)
            for path, style in zip(own, path_styles(trajectories), strict=True)
        ]
    panels[0].set_xlim(low[0], high[0])
    panels[0].set_ylim(low[1], high[1])
    if shown is not None:
        bar = add_colorbar(shown, panels, look, label=first.loss_name.replace("_", " "))
        label_levels(bar, labelled(shown.levels))
    if entries or title is not None:
        add_legend(figure, look, entries, loc="outside upper center", title=title)
    return figure


def _shared_levels(surfaces, spread):
    """Levels of all losses together, and what lies beyond them in any of the surfaces."""
    losses = np.concatenate([surface.losses[np.isfinite(surface.losses)] for surface in surfaces])
    return contour_levels(losses, **spread) if losses.size else None


def _ranges(surfaces):
    """Where all of them lie, in print: the lowest and the highest coordinate of each axis."""
    ends = np.array(
        [
            [axis[[0, -1]] * axis_of(surface, k)[0] for k, axis in enumerate(surface.coordinates)]
            for surface in surfaces
        ]
    )
    return ends[..., 0].min(axis=0), ends[..., 1].max(axis=0)


def _curves(surfaces, paths, trajectories, look, title, spread):
    first = next(iter(surfaces.values()))
    (low,), (high,) = _ranges(surfaces.values())
    scale, text = axis_of(first)
    figure = new_figure(look, (8.0, 4.8))
    axes = figure.add_subplot()
    style_axes(axes, look, xlabel=text, ylabel=first.loss_name.replace("_", " "))
    entries, notes = [], []
    styles = path_styles(trajectories)
    for number, ((name, surface), own) in enumerate(zip(surfaces.items(), paths, strict=True)):
        color = COLORS[number]
        x, losses = surface.coordinates[0] * scale, surface.losses.astype("float64")
        line: dict[str, Any] = dict(
            color=color, linestyle=LINES[number % len(LINES)], linewidth=1.8, zorder=2
        )
        axes.plot(x, np.where(np.isfinite(losses), losses, np.nan), **line)
        label = _short(name)
        if np.any(np.isfinite(losses)):
            (k,), what, style = lowest_of(surface, look)
            label = f"{label}: {what} {losses[k]:.3g}"
            style.update(color=color, zorder=5, clip_on=False)
            axes.plot(x[k], losses[k], **style)
        entries.append(Line2D([], [], label=label, **line))
        for path, look_of_path in zip(own, styles, strict=True):
            heights = height_of(path.points, surface)
            points = path.broken(np.column_stack([path.points[:, 0] * scale, heights]))
            path_look = dict(
                linestyle="", marker=look_of_path["marker"], markersize=4, color=look.ink
            )
            axes.plot(*points.T, **path_look, alpha=0.7, zorder=3)
        notes += [diverged_note(surface)]
    for trajectory_style in styles:
        mark: dict[str, Any] = dict(
            linestyle="", marker=trajectory_style["marker"], color=look.ink, markersize=4
        )
        entries.append(Line2D([], [], label=trajectory_style["label"], **mark))
    notes += path_notes(paths[0])
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(locator_of(first))
    if spread["scale"] == "log":
        axes.set_yscale("log")
    if spread["limits"] is not None:
        axes.set_ylim(*spread["limits"])
    _add_box(axes, look, notes)
    add_legend(figure, look, entries, loc="outside upper center", title=title)
    return figure


def _add_name(axes, look, name):
    text = dict(color=look.ink, fontsize=11, fontweight="bold", parse_math=False)
    axes.set_title(_short(name), loc="left", **text)


def _short(name):
    name = " ".join(name.split())
    return (
        name if len(name) <= MOST_LETTERS else f"{name[: MOST_LETTERS - 1]}\N{HORIZONTAL ELLIPSIS}"
    )


def _add_box(axes, look, notes):
    """Small lines in a corner, on a ground that lets them be read."""
    lines = "\n".join(dict.fromkeys(note for note in notes if note))
    if lines:
        box = dict(facecolor=look.background, edgecolor="none", alpha=0.85, pad=1.5)
        text = dict(ha="right", va="top", color=look.ink, fontsize=8, parse_math=False)
        axes.text(0.98, 0.97, lines, transform=axes.transAxes, bbox=box, zorder=7, **text)


def _named(surfaces):
    """The surfaces by their titles, or an error where they are not of one kind."""
    if isinstance(surfaces, Mapping):
        titles = [key if isinstance(key, str) else ", ".join(map(str, key)) for key in surfaces]
        given = list(surfaces.values())
    else:
        given = as_list(surfaces)
        titles = [str(getattr(one, "loss_name", "")) for one in given]
        titles = (
            titles
            if len(set(titles)) == len(titles)
            else [f"{name} ({k + 1})" for k, name in enumerate(titles)]
        )
    num_axes = getattr(getattr(given[0], "losses", None), "ndim", 2) if given else 2
    for one in given:
        check_axes("beside", one, num_axes, "Draw lines and planes in figures of their own.")
    most = MOST_CURVES if num_axes == 1 else MOST_PANELS
    if not 1 <= len(given) <= most:
        raise refusal(
            "beside", f"1 to {most} surfaces", f"{len(given)}", "Choose some of them by name."
        )
    kinds = {one.loss_name for one in given}
    if len(kinds) > 1:
        raise refusal(
            "beside",
            "surfaces of one loss or metric, which share a scale",
            f"{shortened(sorted(kinds))}",
            "Draw each in a figure of its own: {name: s for name, s in surfaces.items() if "
            "s.loss_name == 'accuracy'}.",
        )
    if len({one.units for one in given}) > 1 or any(min(one.losses.shape) < 2 for one in given):
        raise refusal(
            "beside",
            "axes in the same units, of at least 2 points each",
            f"units {[one.units for one in given]}, shapes {[one.losses.shape for one in given]}",
            "Evaluate them on the same plane, by `keras_valleys.surfaces.evaluate_all`.",
        )
    return dict(zip(titles, given, strict=True))
