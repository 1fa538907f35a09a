"""One filled contour picture on given axes: what `planes` and `frames` share."""

import numpy as np
from matplotlib.colors import BoundaryNorm
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import Normal, Stroke

from keras_valleys.plots._style import axis_of, degree_locator, style_axes

NUM_LEVELS = 14
MAX_VALLEYS = 60


def draw_contour(axes, surface, look, *, mark=True):
    """Draw a 2-D surface in gray, its minimum, and the cells where the loss is not finite.

    Returns:
        The contours, or `None` where no loss is finite, and the legend entries.
    """
    (x_scale, x_text), (y_scale, y_text) = map(axis_of, surface.labels)
    x, y = surface.coordinates[0] * x_scale, surface.coordinates[1] * y_scale
    style_axes(axes, look, xlabel=x_text, ylabel=y_text)
    axes.set_xlim(x[0], x[-1])
    axes.set_ylim(y[0], y[-1])
    axes.xaxis.set_major_locator(degree_locator(surface.labels[0]))
    axes.yaxis.set_major_locator(degree_locator(surface.labels[1]))
    losses = np.ma.masked_invalid(surface.losses)
    entries = []
    if losses.mask.any():
        entries.append(_hatch(axes, look))
    if losses.count() == 0:
        return None, entries
    levels, extend = contour_levels(losses.compressed())
    norm = BoundaryNorm(levels, look.heights.N, extend=extend)
    contours = axes.contourf(
        x, y, losses.T, levels, cmap=look.heights, norm=norm, extend=extend, zorder=1
    )
    axes.contour(x, y, losses.T, levels, colors=look.background, linewidths=0.4, zorder=1)
    if not mark:
        return contours, entries
    i, j = np.unravel_index(np.ma.argmin(losses), losses.shape)
    (minimum,) = axes.plot(
        x[i], y[j], gid="minimum", linestyle="", marker="+", markersize=12, markeredgewidth=2,
        color=look.ink, zorder=6, clip_on=False, label=f"minimum {losses[i, j]:.3g}",
    )  # fmt: skip
    return contours, [minimum, *entries]


def mark_valleys(axes, valleys, look):
    """Draw the floors of valleys with their numbers, and thin lines where their basins meet.

    Returns:
        The legend entries.
    """
    scales = [axis_of(label)[0] for label in valleys.surface.labels]
    x, y = (c * s for c, s in zip(valleys.surface.coordinates, scales, strict=True))
    shown = valleys[:MAX_VALLEYS]
    line = dict(colors=look.ink, linewidths=0.8, zorder=2)
    for valley in shown if len(valleys) > 1 else ():
        axes.contour(x, y, (valleys.labels == valley.index).T.astype(float), [0.5], **line)
    places = np.array([valley.position for valley in shown]).reshape(-1, 2) * scales
    for valley, (u, v) in zip(shown, places, strict=True):
        axes.annotate(
            str(valley.index), (u, v), xytext=(0, 5), textcoords="offset points", ha="center",
            color=look.ink, fontsize=9, fontweight="bold", zorder=6, annotation_clip=True,
            path_effects=[Stroke(linewidth=2.5, foreground=look.background), Normal()],
        )  # fmt: skip
    (floors,) = axes.plot(
        *places.T, gid="valleys", linestyle="", marker="o", markersize=5, zorder=6, clip_on=False,
        markerfacecolor=look.background, markeredgecolor=look.ink, markeredgewidth=1.3,
        label=f"{len(valleys)} valley{'s' * (len(valleys) != 1)}",
    )  # fmt: skip
    more = len(valleys) - len(shown)
    if more:
        floors.set_label(f"{len(shown)} of {len(valleys)} valleys")
    basins = Line2D([], [], color=look.ink, linewidth=0.8, label="basins")
    return [floors, basins] if len(valleys) > 1 else [floors]


def contour_levels(losses):
    """Levels in a geometric series above the lowest loss, and whether some lie above them all."""
    low, high = float(losses.min()), float(losses.max())
    if high <= low:
        return np.array([low, low + max(abs(low), 1.0) * 1e-6]), "neither"
    extend = "neither"
    usual = float(np.quantile(losses, 0.9))
    if high - low > 20 * (usual - low) > 0:  # a pole would take all the levels
        high, extend = usual, "max"
    return low + (high - low) * np.append(0, np.geomspace(0.01, 1, NUM_LEVELS)), extend


def _hatch(axes, look):
    """Hatch the ground; it shows where the contours leave a gap."""
    options = dict(facecolor=look.background, edgecolor=look.muted, hatch="////", linewidth=0)
    ground = Rectangle((0, 0), 1, 1, transform=axes.transAxes, zorder=0, gid="diverged", **options)
    axes.add_patch(ground)
    return Patch(label="diverged", **options)


def is_isometric(surface):
    """Whether lengths in the picture can be lengths in weight space: orthonormal directions."""
    gram = np.asarray(surface.directions, "float64")
    gram = gram @ gram.T
    spans = [axis[-1] - axis[0] for axis in surface.coordinates]
    fits = max(spans) <= 4 * min(spans)  # else equal scales would leave a sliver
    return bool(np.allclose(gram, np.eye(2), atol=1e-4)) and fits and "phi" not in surface.labels
