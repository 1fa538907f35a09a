"""A surface over a plane as a mesh in space, on given axes, and what of a path it hides."""

import numpy as np
from matplotlib.colors import to_rgb
from mpl_toolkits.mplot3d.art3d import Poly3DCollection

from keras_valleys.plots._paths import height_on

MAX_CELLS = 120  # along each axis: more cannot be told apart, and cost time
RAY_STEPS = 160


def draw_mesh(axes, corners, norm, look):
    """Draw shaded cells between corners `(n, m, 3)`, without those of a corner that is NaN."""
    cells = np.stack([corners[:-1, :-1], corners[1:, :-1], corners[1:, 1:], corners[:-1, 1:]], 2)
    cells = cells.reshape(-1, 4, 3)
    cells = cells[np.all(np.isfinite(cells), axis=(1, 2))]
    if not len(cells):
        return
    size = np.ptp([axes.get_xlim(), axes.get_ylim(), axes.get_zlim()], axis=1)
    size /= axes.get_box_aspect()
    normal = np.cross((cells[:, 2] - cells[:, 0]) / size, (cells[:, 3] - cells[:, 1]) / size)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    light = np.array([-0.45, -0.35, 0.82])
    shade = 0.55 + 0.45 * np.clip(np.abs(normal @ light), 0, 1)[:, None]
    colors = look.heights(norm(cells[:, :, 2].mean(axis=1)))[:, :3]
    mesh = Poly3DCollection(cells, facecolors=shade * colors, zorder=1, gid="mesh")
    mesh.set(edgecolor=(*to_rgb(look.muted), 0.35), linewidth=0.25, clip_on=False)
    axes.add_collection3d(mesh, autolim=False)


def thin_grid(surface):
    """Row and column numbers of at most `MAX_CELLS` cells per axis, both ends included."""
    return [
        np.unique(np.linspace(0, len(axis) - 1, min(len(axis), MAX_CELLS + 1)).round().astype(int))
        for axis in surface.coordinates
    ]


def is_hidden(points, surface, direction, top):
    """Which points `(n, 3)` a viewer far off in a direction does not see behind the surface.

    Args:
        points: In units of the coordinates and the loss.
        surface: A 2-D surface.
        direction: The way to the viewer, in the same units; its longest part crosses the picture.
        top: Where the surface is cut.
    """
    hidden = np.zeros(len(points), bool)
    for share in np.linspace(0, 1, RAY_STEPS + 1)[1:]:
        ray = points + share * direction
        heights = np.minimum(height_on(ray[:, :2], surface), top)
        hidden |= heights > ray[:, 2] + 1e-3 * abs(direction[2])
    return hidden
