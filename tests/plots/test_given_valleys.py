"""The valleys that a user found are those that are drawn, in every picture."""

import dataclasses

import numpy as np
import pytest

from keras_valleys import plots
from keras_valleys.surfaces import Surface
from keras_valleys.trajectories import Trajectory
from keras_valleys.valleys import find_valleys

PHI = np.linspace(-np.pi / 2, np.pi / 2, 401)
ROUGH = np.cos(6 * PHI) + 0.2 * np.random.RandomState(3).normal(size=401)
ROUGH[-1] = ROUGH[0]
RING = Surface(ROUGH, [PHI], [[1.0]], [0.0], ["phi"], periods=np.pi, units="rad")
X, Y = np.linspace(-2, 2.2, 45), np.linspace(-1, 1.4, 33)
NOISE = 0.2 * np.random.RandomState(4).normal(size=(45, 33))
PLANE = Surface((X[:, None] ** 2 - 1) ** 2 + Y**2 + NOISE, [X, Y], np.eye(2), np.zeros(2))
WALK = Trajectory(range(5), np.linspace(-1, 1, 5)[:, None], np.full(5, np.nan), "SGD")
WAY = Trajectory(range(5), np.linspace([-1, 0], [1, 0.5], 5), np.full(5, np.nan), "SGD")


def rings(axes):
    lines = [line for line in axes.lines if line.get_gid() in ("valleys", "border")]
    return sum(len(np.ravel(line.get_xdata())) for line in lines)


def ridges(figure):
    """How many ridges of a ring are drawn in panels: as many as valleys."""
    lines = [line.get_xdata() for line in figure.axes[1].lines]
    upright = [line[0] for line in lines if len(line) == 2 and len(set(line)) == 1]
    return len({round(x % 180, 6) for x in upright})


PICTURES = {
    "curve": (RING, lambda s, **o: rings(plots.curve(s, WALK, **o).axes[0])),
    "circle": (RING, lambda s, **o: rings(plots.circle(s, **o).axes[0]) // 2),
    "curves": (RING, lambda s, **o: rings(plots.curves([s], **o).axes[0])),
    "path_panels": (RING, lambda s, **o: ridges(plots.path_panels(s, [WALK], **o))),
    "SurfaceFrames": (RING, lambda s, **o: rings(plots.SurfaceFrames(s, **o)._axes)),
    "contour": (PLANE, lambda s, **o: rings(plots.contour(s, WAY, **o).axes[0])),
    "surface_3d": (PLANE, lambda s, **o: rings(plots.surface_3d(s, WAY, **o).axes[0])),
    "panels of a plane": (
        PLANE,
        lambda s, **o: rings(plots.path_panels(s, [WAY], **o).axes[0]),
    ),
    "frames of a plane": (PLANE, lambda s, **o: rings(plots.SurfaceFrames(s, **o)._axes)),
}


def given(name, valleys):
    return [valleys] if name == "curves" else valleys


@pytest.mark.parametrize("name", PICTURES)
def test_they_are_drawn(name):
    surface, count = PICTURES[name]
    few, many = (find_valleys(surface, persistence=depth) for depth in (0.8, 0.3))
    assert 1 < len(few) < len(many)
    for valleys, persistence in ((few, 0.8), (many, 0.3)):
        assert count(surface, valleys=given(name, valleys)) == len(valleys)
        assert count(surface, persistence=persistence) == len(valleys)
    again = dataclasses.replace(surface)  # the same one, from a file
    assert count(again, valleys=given(name, few)) == len(few)


@pytest.mark.parametrize("name", PICTURES)
def test_what_does_not_fit_is_refused(name):
    surface, count = PICTURES[name]
    few = find_valleys(surface, persistence=0.8)
    with pytest.raises(ValueError, match="expects `valleys` or `persistence`. Received: both, per"):
        count(surface, valleys=given(name, few), persistence=0.1)
    other = dataclasses.replace(surface, losses=surface.losses + 1)
    with pytest.raises(ValueError, match=r"the `valleys` of its surface.*find_valleys\(surface\)`"):
        count(other, valleys=given(name, few))
    moved = dataclasses.replace(surface, coordinates=[c + 0.5 for c in surface.coordinates])
    with pytest.raises(ValueError, match="the `valleys` of its surface"):
        count(moved, valleys=given(name, few))
    with pytest.raises(ValueError, match="`valleys` to be the `keras_valleys.valleys.Valleys` of"):
        count(surface, valleys=given(name, list(few)))
    for bad in (-1e-3, np.nan, np.inf, True, "0.1"):
        with pytest.raises(
            ValueError, match="`persistence` to be a number >= 0, in units of the l"
        ):
            count(surface, persistence=bad)


def test_curves_take_the_valleys_of_each():
    few, many = (find_valleys(RING, persistence=depth) for depth in (0.8, 0.3))
    figure = plots.curves([RING, RING], labels=["few", "many"], valleys=[few, many])
    titles = [axes.get_title("left") for axes in figure.axes]
    assert titles == [f"few: {len(few)} valleys", f"many: {len(many)} valleys"]
    with pytest.raises(ValueError, match="`curves` expects the `valleys` of each surface.*1 for 2"):
        plots.curves([RING, RING], valleys=[few])


def test_periods_that_valleys_were_found_with_are_drawn():
    x = np.linspace(-1, 1, 81)
    line = Surface(np.cos(np.pi * (x - 0.97)), [x], [[1.0]], [0.0])
    assert rings(plots.curve(line).axes[0]) == 2  # one of them lowest at the border
    joined = find_valleys(line, periodic=2.0)
    axes = plots.curve(line, valleys=joined).axes[0]
    assert rings(axes) == 1 and len(joined) == 1
    plots.circle(line, valleys=joined)
    with pytest.raises(ValueError, match="`circle` expects a surface with a period"):
        plots.circle(line)
