"""One filled contour picture on given axes: what `planes` and `frames` share."""

import numpy as np
from matplotlib.colors import BoundaryNorm
from matplotlib.patches import Patch, Rectangle

from keras_valleys.plots._style import axis_of, degree_locator, style_axes

NUM_LEVELS = 14


def draw_contour(axes, surface, look):
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
    i, j = np.unravel_index(np.ma.argmin(losses), losses.shape)
    (minimum,) = axes.plot(
        x[i], y[j], gid="minimum", linestyle="", marker="+", markersize=12, markeredgewidth=2,
        color=look.ink, zorder=6, clip_on=False, label=f"minimum {losses[i, j]:.3g}",
    )  # fmt: skip
    return contours, [minimum, *entries]


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
