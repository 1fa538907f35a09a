"""Valleys as colors, and cells of starts in them: what the pictures of basins share."""

import numpy as np
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from keras_valleys.plots._curves import MAX_LABELS, mark_floors, spread
from keras_valleys.plots._paths import limits
from keras_valleys.plots._style import COLORS, axis_of, coordinate_text, degree_locator, style_axes

BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY = COLORS
HUES = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILLION, "#8a7bd0", "#9a9a35", "#9b3f6f")
MAX_ENTRIES = 12  # in a legend


def valley_color(index):
    """The color of a valley, the same in every picture; from the tenth on lighter, then darker."""
    hue = np.array(to_rgb(HUES[index % len(HUES)]))
    turn = index // len(HUES) % 3
    return tuple((hue, 0.5 + 0.5 * hue, 0.55 * hue)[turn].tolist())


def draw_territory(axes, valleys, look):
    """Draw the curve whose ground has the color of each basin, with its floors.

    Returns:
        What the picture does not show, in words.
    """
    surface = valleys.surface
    (x,), (label,) = surface.coordinates, surface.labels
    scale, _ = axis_of(label)
    low, top, notes = limits(surface)
    style_axes(axes, look, ylabel=surface.loss_name.replace("_", " "))
    y = np.where(np.isfinite(surface.losses), surface.losses, np.nan)
    floor = low - 0.2 * (top - low)
    changes = np.flatnonzero(np.diff(valleys.labels)) + 1
    for first, stop in zip([0, *changes], [*changes, len(x)], strict=True):
        index, part = valleys.labels[first], slice(first, stop + 1)  # up to the next one's first
        if index >= 0:
            color = valley_color(index)
            axes.fill_between(x[part] * scale, floor, y[part], color=color, linewidth=0, zorder=1)
    axes.plot(x * scale, y, color=look.ink, linewidth=1.6, zorder=2)
    axes.set_xlim(x[0] * scale, x[-1] * scale)
    axes.set_ylim(floor, top + 0.03 * (top - low))
    axes.xaxis.set_major_locator(degree_locator(label))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, prune="lower"))
    mark_floors(axes, valleys, surface, look)
    _name_floors(axes, valleys, look)
    return notes


def _name_floors(axes, valleys, look):
    (x,), (label,) = valleys.surface.coordinates, valleys.surface.labels
    scale, _ = axis_of(label)
    shown = sorted(valleys[:MAX_LABELS], key=lambda valley: valley.position[0])
    places = spread([v.position[0] * scale for v in shown], 0.075, x[0] * scale, x[-1] * scale)
    bottom, top = axes.get_ylim()
    for valley, place in zip(shown, places, strict=True):
        axes.text(
            place, bottom + 0.035 * (top - bottom), coordinate_text(valley.position[0], label),
            color=look.ink, fontsize=11, fontweight="bold", ha="center", va="bottom", zorder=4,
            bbox=dict(facecolor=look.background, edgecolor="none", pad=2.0, alpha=0.85),
        )  # fmt: skip


def draw_cells(axes, x, y, indices, look):
    """Draw valley indices `(len(y), len(x))` as cells around coordinates, none of them smoothed.

    Args:
        axes: Matplotlib axes.
        x: Pair of rising coordinates and whether they are on a logarithmic scale.
        y: Another pair; `None` for a single row.
        indices: Integers; -1 is hatched.
        look: The `Theme`.
    """
    edges = [np.array([0.0, 1.0]) if one is None else _edges(*one) for one in (x, y)]
    options = dict(facecolor=look.background, edgecolor=look.muted, hatch="/////", linewidth=0)
    axes.add_patch(Rectangle((0, 0), 1, 1, transform=axes.transAxes, zorder=0, **options))
    colors = ListedColormap([valley_color(k) for k in range(max(indices.max(), 0) + 1)])
    axes.pcolormesh(
        *edges, np.ma.masked_less(indices, 0), cmap=colors, vmin=-0.5, vmax=colors.N - 0.5,
        antialiased=False, linewidth=0, rasterized=True, zorder=1,
    )  # fmt: skip
    axes.set_xlim(edges[0][0], edges[0][-1])
    axes.set_ylim(edges[1][0], edges[1][-1])


def _edges(coordinates, logarithmic):
    """The ends of the cells around coordinates; the outermost cells are as wide outside."""
    c = np.log(coordinates) if logarithmic else np.asarray(coordinates, "float64")
    if len(c) == 1:
        return np.exp(c[0] + np.array([-0.5, 0.5])) if logarithmic else c[0] + np.array([-0.5, 0.5])
    middles = (c[1:] + c[:-1]) / 2
    edges = np.concatenate([[2 * c[0] - middles[0]], middles, [2 * c[-1] - middles[-1]]])
    return np.exp(edges) if logarithmic else edges


def legend_entries(valleys, indices, look):
    """A patch for each valley that a picture shows, and for none."""
    shown = [k for k in range(len(valleys)) if np.any(indices == k)]
    entries = [Patch(color=valley_color(k), label=_name(valleys, k)) for k in shown[:MAX_ENTRIES]]
    if len(shown) > MAX_ENTRIES:
        entries.append(Patch(alpha=0, label=f"and {len(shown) - MAX_ENTRIES} more"))
    if np.any(indices < 0):
        options = dict(facecolor=look.background, edgecolor=look.muted, hatch="/////")
        entries.append(Patch(label="none: outside, diverged", **options))
    return entries


def _name(valleys, index):
    labels = valleys.surface.labels
    pairs = zip(valleys[index].position, labels, strict=True)
    place = ", ".join(coordinate_text(position, label) for position, label in pairs)
    return f"valley {index} at {place}" if len(labels) == 1 else f"valley {index} at ({place})"
