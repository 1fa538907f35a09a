"""One panel per optimizer: paths on the surface, and losses by step."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from keras_valleys._checks import check_kind
from keras_valleys.plots.contours import (
    draw_contour,
    is_isometric,
    labelled,
    lowest_of,
    mark_valleys,
)
from keras_valleys.plots.paths import (
    captions,
    limits,
    path_notes,
    path_of,
    valleys_of,
)
from keras_valleys.plots.style import (
    add_caption,
    add_colorbar,
    axis_of,
    get_theme,
    label_levels,
    locator_of,
    new_figure,
    optimizer_color,
    scales_of,
    style_axes,
)
from keras_valleys.surfaces import Surface
from keras_valleys.trajectories import (
    Trajectories,
    Trajectory,
    as_trajectories,
    kind_words,
    thin,
)
from keras_valleys.valleys import BORDER, Valleys, axes_of, closed, count_text

MAX_TITLE = 22  # characters


def path_panels(
    surface: Surface,
    trajectories: Trajectories,
    *,
    valleys: Valleys | None = None,
    persistence: float | None = None,
    theme: str = "light",
) -> Figure:
    """The paths of many optimizers on one surface.

    One panel per label holds all paths of that label, from a hollow to a filled mark; all panels
    have the same axes. Over one axis the surface stands above each column, ridges are lines through
    the panels, the lowest valley is shaded, and time runs down: paths that would hide each other on
    the curve lie side by side. Over two axes each panel is the surface from above.

    Args:
        surface: A 1-D or 2-D `keras_valleys.surfaces.Surface`; radians are drawn in degrees.
        trajectories: A list of `keras_valleys.trajectories.Trajectory`.
        valleys: What `keras_valleys.valleys.find_valleys` found on the surface. `None` finds them
            over one axis, and marks the lowest point over two.
        persistence: As for `find_valleys`, where `valleys` is `None`; over two axes they are then
            found and drawn.
        theme: "light" or "dark".

    Returns:
        A matplotlib `Figure`.

    Raises:
        ValueError: The weights are not of the surface's size, `persistence` is negative or given
            with `valleys`, these are another surface's, or the theme is unknown.

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
    check_kind("path_panels", "surface", surface=surface)
    line = surface.losses.ndim == 1
    drawn = line or valleys is not None or persistence is not None
    valleys = valleys_of("path_panels", surface, valleys, persistence) if drawn else None
    surface = closed(surface) if valleys is None else valleys.surface
    trajectories = as_trajectories("path_panels", trajectories)
    groups = {
        label: [path_of(trajectory, surface) for trajectory in group]
        for label, group in by_label(trajectories).items()
    }
    figure = (_on_curve if line else _on_plane)(surface, groups, valleys, look)
    known = _key_of_curves(valleys) if line else _key_of_planes(surface, valleys, look)
    paths = [path_of(trajectory, surface) for trajectory in trajectories]
    words = captions(surface, paths, trajectories, valleys=valleys, with_losses=False)
    add_caption(figure, look, [*([known] if known else []), *words])
    return figure


def _key_of_curves(valleys):
    """What the marks of a curve's panels say."""
    shaded = "" if _lowest(valleys) is None else "Shaded: the lowest valley. "
    border = f" The loss is {BORDER}." if len(valleys) and valleys[0].on_border else ""
    return f"{shaded}Lines: ridges. Time runs down.{border}"


def _key_of_planes(surface, valleys, look):
    """What the marks of a plane's panels say."""
    if valleys is not None:
        return f"Numbered: {count_text(valleys)}."
    known = np.any(np.isfinite(surface.losses))
    return f"Square: {BORDER}." if known and lowest_of(surface, look)[1] == BORDER else ""


def _lowest(valleys):
    """The lowest valley, or `None`: what is lowest at the border is none."""
    return next((valley for valley in valleys if not valley.on_border), None)


def _on_curve(surface, groups, valleys, look):
    (x,), (axis,) = surface.coordinates, axes_of(surface)
    scale, text = axis_of(surface)
    options = dict(header=0.75, xlabel=text, ylabel="step")
    figure, panels, headers = panel_grid(list(groups), look, **options)
    low, top, _ = limits(surface, valleys=valleys)
    y = np.where(np.isfinite(surface.losses), surface.losses, np.nan)
    for number, axes in enumerate(headers):
        style_axes(axes, look, size=10, ylabel="" if number else "loss")
        axes.plot(x * scale, y, color=look.surface, linewidth=1.6)
        axes.fill_between(x * scale, low - 0.1 * (top - low), y, color=look.fill, linewidth=0)
        axes.set_ylim(low - 0.1 * (top - low), top)
        axes.set_xlim(x[0] * scale, x[-1] * scale)
        axes.xaxis.set_major_locator(locator_of(surface))
        axes.tick_params(labelbottom=False, labelleft=not number)
    lowest = _lowest(valleys)
    last = max((path.steps[-1] for group in groups.values() for path in group), default=1)
    for axes, (name, paths) in zip(panels, groups.items(), strict=True):
        for valley in valleys:
            left, right = valley.ridges
            for shift in axis.shifts(left, right, x[-1]):
                ends = [(ridge + shift) * scale for ridge in valley.ridges]
                if valley is lowest:
                    axes.axvspan(*ends, color=look.fill, linewidth=0, zorder=0)
                for end in ends:
                    axes.axvline(end, color=look.surface, linewidth=0.6, zorder=1)
        draw_walks(axes, paths, name, surface, look)
        add_title(axes, look, name, _note(paths))
    panels[0].set_ylim(1.04 * last, -0.04 * last)
    panels[0].yaxis.get_major_locator().set_params(integer=True, nbins=5)
    return figure


def _on_plane(surface, groups, valleys, look):
    x_text, y_text = (axis_of(surface, k)[1] for k in (0, 1))
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
        contours, _ = draw_contour(axes, surface, look, mark=valleys is None)
        if valleys is not None:
            mark_valleys(axes, valleys, look)
        style_axes(axes, look, xlabel=texts[0], ylabel=texts[1], size=10)
        axes.tick_params(labelbottom=shown[0], labelleft=shown[1])
        axes.set_aspect("equal" if equal else "auto")
        color = optimizer_color(name)
        for path in paths:
            points = path.points * scales_of(surface)
            axes.plot(*path.broken(points).T, color=color, linewidth=1.2, alpha=0.85, zorder=4)
            mark_ends(axes, points[:, 0], points[:, 1], color, look)
        add_title(axes, look, name, _note(paths))
    if contours is not None:
        bar = add_colorbar(contours, panels, look, label=surface.loss_name.replace("_", " "))
        label_levels(bar, labelled(contours.levels))
    return figure


def _note(paths):
    return "; ".join(note for note in path_notes(paths) if note)


def loss_panels(trajectories: Trajectories, *, theme: str = "light") -> Figure:
    """The loss of many optimizers at each step, recorded or true as the paths have it.

    One panel per label holds all runs of that label as thin lines and their median as a thick one;
    the medians of the others are gray. All panels have the same axes, cut where losses are
    much higher than at the start; the loss axis is logarithmic where positive losses span more than
    a factor of 1000. Losses that are not finite are gaps, and a note says how many runs end so.

    Args:
        trajectories: A list of `keras_valleys.trajectories.Trajectory`.
        theme: "light" or "dark".

    Returns:
        A matplotlib `Figure`.

    Raises:
        ValueError: The theme is unknown.

    Example:

    >>> paths = [
    ...     keras_valleys.trajectories.Trajectory([0, 1], [[0.8], [0.7]], [0.6, end], label)
    ...     for label, end in (("sgd", 0.5), ("adam", 0.4), ("sgd", 0.3))
    ... ]
    >>> figure = keras_valleys.plots.loss_panels(paths)
    >>> [axes.get_title("left") for axes in figure.axes]
    ['sgd', 'adam']
    """
    look = get_theme(theme)
    runs = as_trajectories("loss_panels", trajectories)
    groups = by_label(runs)
    name = f"{' and '.join(sorted({one.loss_kind for one in runs}))} loss".strip()
    figure, panels, _ = panel_grid(list(groups), look, xlabel="step", ylabel=name)
    medians = {label: _median(group) for label, group in groups.items()}
    for axes, (label, group) in zip(panels, groups.items(), strict=True):
        for other, line in medians.items():
            if other != label:
                axes.plot(*line, color=look.surface, linewidth=0.8, alpha=0.45, zorder=2)
        color = optimizer_color(label)
        for one in group:
            rows = thin(len(one.steps))
            axes.plot(
                one.steps[rows],
                _finite(one.losses)[rows],
                color=color,
                linewidth=0.8,
                alpha=0.6,
                zorder=3,
            )
        axes.plot(*medians[label], color=color, linewidth=2.0, zorder=4)
        lost = sum(map(_is_lost, group))
        add_title(axes, look, label, f"{lost} of {len(group)} diverged" if lost else "")
    losses = np.concatenate([np.empty(0), *(one.losses for one in runs)])
    top = set_view(panels[0], losses, np.array([one.losses[0] for one in runs if len(one)]))
    panels[0].xaxis.get_major_locator().set_params(integer=True, nbins=5)
    above = int(np.sum(losses[np.isfinite(losses)] > top))
    gray = " Gray: the medians of the others." if len(groups) > 1 else ""
    cut = f" Cut at loss {top:.3g}, {above} losses above." if above else ""
    known = f"Losses: {kind_words(runs)}. " if runs else ""
    add_caption(figure, look, [known + "Thick: the median of the runs." + gray + cut])
    return figure


def _is_lost(one):
    """Whether a path ends where nothing is finite; a recorded loss may only not be known there."""
    ends = one.losses[np.isfinite(one.losses).nonzero()[0].max(initial=-1) + 1 :]
    unfit = np.isinf(ends).any() if one.loss_kind == "recorded" else len(ends) > 0
    return bool(unfit or not np.all(np.isfinite(one.weights[-1:])))


def _median(group):
    """Steps that all runs have, and the median there; NaN where most are not finite."""
    steps = group[0].steps
    for one in group[1:]:
        steps = np.intersect1d(steps, one.steps)
    rows = np.array([one.losses[np.searchsorted(one.steps, steps)] for one in group], "float64")
    rows[~np.isfinite(rows)] = np.inf
    middle = np.median(rows, axis=0) if len(steps) else np.empty(0)
    keep = thin(len(steps))
    return steps[keep], _finite(middle)[keep]


def _finite(values):
    return np.where(np.isfinite(values), values, np.nan)


def by_label(trajectories):
    """Trajectories by their labels, in the order in which these appear."""
    groups: dict[str, list[Trajectory]] = {}
    for number, trajectory in enumerate(trajectories):
        name = " ".join(str(trajectory.label).split()) or f"path {number + 1}"
        groups.setdefault(name, []).append(trajectory)
    return groups


def panel_grid(labels, look, *, header=0.0, size=(2.7, 1.9), xlabel="", ylabel=""):
    """A figure with one panel per label.

    Args:
        labels: List of labels.
        look: The `Theme`.
        header: Height of one more panel at the top of each column, relative to the others.
        size: Width and height of a panel in inches.
        xlabel: Text under the panels of the last row.
        ylabel: Text beside the first panel of each row.

    Returns:
        The figure, the panels, and the headers of the columns.
    """
    count = max(len(labels), 1)
    columns = count if count <= 4 else 3 if count <= 9 else 4
    rows = math.ceil(count / columns)
    width = max(size[0] * columns + 0.7, 5.0)
    figure = new_figure(look, (width, size[1] * (rows + header) + 0.8))
    heights = [header] * (header > 0) + [1.0] * rows
    grid = figure.add_gridspec(len(heights), columns, height_ratios=heights)
    headers: list[Axes] = []
    panels: list[Axes] = []
    for k in range(columns if header else 0):
        headers.append(figure.add_subplot(grid[0, k], sharey=headers[0] if headers else None))
    for k in range(count):
        first = panels[0] if panels else None
        above = headers[0] if headers else first
        place = grid[k // columns + bool(header), k % columns]
        panels.append(figure.add_subplot(place, sharex=above, sharey=first))
        style_axes(panels[-1], look, size=10)
        if k + columns < count:
            panels[-1].tick_params(labelbottom=False)
        elif k // columns == rows - 1:
            panels[-1].set_xlabel(xlabel, color=look.ink, fontsize=10, parse_math=False)
        if k % columns:
            panels[-1].tick_params(labelleft=False)
        else:
            panels[-1].set_ylabel(ylabel, color=look.ink, fontsize=10, parse_math=False)
    for axes in headers[1:]:
        axes.sharex(headers[0])
    return figure, panels, headers


def add_title(axes, look, label, note=""):
    """The label in the color of its optimizer, and a note inside, where no label can hide it."""
    short = label if len(label) <= MAX_TITLE else label[: MAX_TITLE - 1] + "\N{HORIZONTAL ELLIPSIS}"
    axes.set_title(
        short,
        loc="left",
        color=optimizer_color(label),
        fontsize=11,
        fontweight="bold",
        parse_math=False,
    )
    if note:
        box = dict(facecolor=look.background, edgecolor="none", alpha=0.85, pad=1.5)
        axes.text(
            0.98,
            0.97,
            note,
            transform=axes.transAxes,
            ha="right",
            va="top",
            color=look.ink,
            fontsize=8,
            parse_math=False,
            bbox=box,
            zorder=7,
        )


def set_view(axes, losses, first):
    """Show the losses that are not much higher than the first ones, and return the highest.

    The axis is logarithmic where positive losses span more than a factor of 1000.
    """
    finite = losses[np.isfinite(losses)]
    if not finite.size:
        return math.inf
    low, top = float(finite.min()), float(finite.max())
    begin = first[np.isfinite(first)].max(initial=low)
    limit = low + 3 * (begin - low)
    if top > limit > low:  # what blew up would flatten all others
        top = float(finite[finite <= limit].max())
    if low > 0 and top > 1000 * low:
        axes.set_yscale("log")
        axes.set_ylim(low / 1.5, 1.5 * top)
    elif top > low:
        axes.set_ylim(low - 0.05 * (top - low), top + 0.05 * (top - low))
    return top


def draw_walks(axes, paths, label, surface, look):
    """Paths over the steps, which run down, along the coordinate of a 1-D surface."""
    scale, _ = axis_of(surface)
    color = optimizer_color(label)
    for path in paths:
        x = path.points[:, 0] * scale
        columns = path.broken(np.stack([x, path.steps], axis=1)).T
        axes.plot(*columns, color=color, linewidth=1.1, alpha=0.8, zorder=4)
        mark_ends(axes, x, path.steps, color, look)


def mark_ends(axes, x, y, color, look):
    """A hollow mark where a path begins, a filled one where it ends."""
    mark = dict(marker="o", linestyle="", markersize=5, markeredgewidth=1.1, zorder=5)
    axes.plot(x[:1], y[:1], markerfacecolor=look.background, markeredgecolor=color, **mark)
    axes.plot(x[-1:], y[-1:], markerfacecolor=color, markeredgecolor=look.background, **mark)
