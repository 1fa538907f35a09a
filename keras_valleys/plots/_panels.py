"""A grid of small panels, one for each optimizer, that share their axes."""

import math

import numpy as np

from keras_valleys.plots._style import (
    axis_of,
    new_figure,
    optimizer_color,
    style_axes,
)

MAX_TITLE = 22  # characters


def by_label(trajectories):
    """Trajectories by their labels, in the order in which these appear."""
    groups = {}
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
    headers, panels = [], []
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
        short, loc="left", color=optimizer_color(label), fontsize=11, fontweight="bold",
        parse_math=False,
    )  # fmt: skip
    if note:
        box = dict(facecolor=look.background, edgecolor="none", alpha=0.85, pad=1.5)
        axes.text(
            0.98, 0.97, note, transform=axes.transAxes, ha="right", va="top", color=look.ink,
            fontsize=8, parse_math=False, bbox=box, zorder=7,
        )  # fmt: skip


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
    scale, _ = axis_of(surface.labels[0])
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
