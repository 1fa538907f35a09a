"""One curve with its valleys on given axes: what `lines` and `frames` share."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from keras_valleys.plots._style import (
    axis_of,
    coordinate_text,
    degree_locator,
    style_axes,
)
from keras_valleys.valleys import find_valleys

MAX_LABELS = 9


def draw_curve(axes, surface, look, *, view, mark=None):
    """Draw a 1-D surface with its valleys on axes that show the losses `view = (low, top)`.

    Args:
        axes: Matplotlib axes.
        surface: A 1-D surface.
        look: The `Theme`.
        view: Lowest and highest loss to be seen.
        mark: Color of the valleys' marks.

    Returns:
        The list of valleys.
    """
    (x,), (label,) = surface.coordinates, surface.labels
    scale, text = axis_of(label)
    low, top = view
    style_axes(axes, look, xlabel=text, ylabel=surface.loss_name.replace("_", " "))
    y = np.where(np.isfinite(surface.losses), surface.losses, np.nan)
    line = {"linestyle": "-", "linewidth": 2.2, "marker": ""}
    axes.plot(x * scale, y, color=look.surface, zorder=2, **line)
    valleys = find_valleys(surface)
    floor = low - 0.24 * (top - low) if valleys else low - 0.05 * (top - low)
    axes.fill_between(x * scale, floor, y, color=look.fill, linewidth=0, zorder=1)
    axes.set_xlim(x[0] * scale, x[-1] * scale)
    axes.set_ylim(floor, top + 0.03 * (top - low))
    axes.xaxis.set_major_locator(degree_locator(label))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, prune="lower"))
    _label_valleys(axes, valleys, surface, look)
    mark_floors(axes, valleys, surface, look, color=mark)
    return valleys


def _label_valleys(axes, valleys, surface, look):
    (x,), (label,) = surface.coordinates, surface.labels
    scale, _ = axis_of(label)
    shown = sorted(valleys[:MAX_LABELS], key=lambda valley: valley.position[0])
    places = spread([v.position[0] * scale for v in shown], 0.1, x[0] * scale, x[-1] * scale)
    bottom, top = axes.get_ylim()
    height = bottom + 0.11 * (top - bottom)
    for valley, place in zip(shown, places, strict=True):
        position = valley.position[0] * scale
        axes.plot(
            [position, position, place], [valley.loss, (height + valley.loss) / 2, height],
            color=look.muted, linewidth=0.8, linestyle=":", marker="", zorder=2,
        )  # fmt: skip
        axes.text(
            place, height, coordinate_text(valley.position[0], label),
            color=look.ink, fontsize=10, ha="center", va="top", zorder=3,
        )  # fmt: skip


def mark_floors(axes, valleys, surface, look, *, color=None):
    """A ring at the floor of each valley, also where it is not labelled."""
    scale, _ = axis_of(surface.labels[0])
    axes.plot(
        [valley.position[0] * scale for valley in valleys], [valley.loss for valley in valleys],
        gid="valleys", linestyle="", marker="o", markersize=6, zorder=3, clip_on=False,
        markerfacecolor=look.background, markeredgecolor=color or look.ink,
        markeredgewidth=1.3 if color is None else 2.2,
    )  # fmt: skip


def spread(positions, gap, start, stop):
    """Rising positions, moved as little as need be to lie at least `gap` of the range apart."""
    gap *= stop - start
    places = list(positions)
    for i in range(len(places)):
        places[i] = max(places[i], places[i - 1] + gap if i else start + gap / 2)
    for i in reversed(range(len(places))):
        last = i + 1 == len(places)
        places[i] = min(places[i], stop - gap / 2 if last else places[i + 1] - gap)
    return places
