"""The ring itself, on given axes: its crest, its wall, its valleys."""

import numpy as np
from matplotlib.colors import to_rgb
from mpl_toolkits.mplot3d.art3d import Poly3DCollection

from keras_valleys.plots._paths import height_at
from keras_valleys.valleys import find_valleys

FACETS = 360


def on_ring(phi, heights):
    """Points of shape `(..., 3)` on the ring."""
    return np.stack(np.broadcast_arrays(np.cos(phi), np.sin(phi), heights), axis=-1)


def _sides(surface):
    """The angles of the samples, once for each side of the ring."""
    (phi,) = surface.coordinates
    return [phi, phi + np.pi] if is_half(phi) else [phi]


def is_half(phi):
    """Whether the angles cover at most half a turn."""
    return phi[-1] - phi[0] <= np.pi * (1 + 1e-6)


def draw_ring(axes, surface, look, view):
    """Draw a surface over an angle between the floor and the top of `view`."""
    floor, top = view
    viewer = np.radians(axes.azim)
    heights = height_at(surface.coordinates[0], surface)
    crest = np.where(heights <= top, heights, np.nan)
    valleys = [valley for valley in find_valleys(surface) if valley.loss <= top]
    for turn, phi in enumerate(_sides(surface)):
        edges = np.linspace(phi[0], phi[-1], FACETS + 1)
        tops = np.minimum(np.interp(edges, phi, heights), top)
        _draw_wall(axes, edges, np.stack([np.full_like(tops, floor), tops]), look)
        for front in (False, True):
            z = np.where((np.cos(phi - viewer) > 0) == front, crest, np.nan)
            axes.plot(*on_ring(phi, z).T, color=look.muted, linewidth=2.6, zorder=4 if front else 2)
        for valley in valleys:
            angle = valley.position[0] + turn * np.pi
            axes.plot(
                *on_ring(angle, valley.loss)[:, None], gid="valleys", linestyle="", marker="o",
                markersize=5, markerfacecolor=look.background, markeredgecolor=look.ink,
                zorder=4 if np.cos(angle - viewer) > 0 else 2,
            )  # fmt: skip


def _draw_wall(axes, edges, ends, look):
    """The curtain under the curve: opaque and shaded behind, one sheet of glass in front."""
    viewer = np.radians(axes.azim)
    middles = (edges[1:] + edges[:-1]) / 2
    known = np.all(np.isfinite(ends[:, 1:] + ends[:, :-1]), axis=0)
    corners = on_ring(edges, ends)
    quads = np.concatenate([corners[:, :-1], corners[::-1, 1:]]).swapaxes(0, 1)
    back = known & (np.cos(middles - viewer) <= 0)
    shade = 0.65 + 0.35 * np.cos(middles[back] - viewer - 0.9)[:, None]
    colors = shade * to_rgb(look.fill) + (1 - shade) * to_rgb(look.surface)
    wall = Poly3DCollection(quads[back], facecolors=colors, antialiased=False, zorder=1)
    axes.add_collection3d(wall, autolim=False)
    front = np.flatnonzero(known & (np.cos(middles - viewer) > 0))
    runs = np.split(front, np.flatnonzero(np.diff(front) > 1) + 1) if front.size else []
    sheets = [
        np.concatenate([corners[0, run[0] : run[-1] + 2], corners[1, run[0] : run[-1] + 2][::-1]])
        for run in runs
    ]
    glass = Poly3DCollection(sheets, facecolors=look.surface, alpha=0.28, linewidth=0, zorder=3)
    axes.add_collection3d(glass, autolim=False)
