"""Losses, weights and distances over the steps."""

import numpy as np
import pytest

from helpers.drawn import PHI, path
from helpers.pictures import caption, draw, legend
from helpers.planes import SIZE, bowl, line, plane, run
from keras_valleys import plots
from keras_valleys.trajectories import Projection, Trajectory, on_surface


def test_loss_by_step_leaves_out_the_unknown_last_loss():
    steps = [3, 5, 8]
    line = (
        plots.loss_by_step(path([[1.0], [2], [3]], [0.5, 0.4, np.nan], steps=steps))
        .axes[0]
        .lines[0]
    )
    assert line.get_xdata().tolist() == steps
    np.testing.assert_array_equal(line.get_ydata(), [0.5, 0.4, np.nan])


def test_loss_by_step_counts_what_diverged_and_takes_logarithms():
    figure = plots.loss_by_step(path([[1.0], [2], [np.nan]], [0.5, np.inf, np.nan]))
    assert figure.axes[0].get_title("right") == "2 steps diverged"
    assert figure.axes[0].get_yscale() == "linear"
    assert plots.loss_by_step(path([[1.0], [2]], [1e-3, 50])).axes[0].get_yscale() == "log"


def test_weight_by_step_draws_radians_in_degrees_and_others_as_they_are():
    two = path([[0.5, np.pi / 2], [0.7, -np.pi / 6]])
    axes = plots.weight_by_step(two, index=1, name="phi", unit="rad").axes[0]
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [90, -30])
    assert axes.get_ylabel() == "phi (°)"
    axes = plots.weight_by_step(two, name="kernel").axes[0]
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [0.5, 0.7])
    assert axes.get_ylabel() == "kernel"


def test_weight_by_step_refuses_an_index_outside():
    with pytest.raises(ValueError, match="`weight_by_step` expects `index`.*Received: index=1"):
        plots.weight_by_step(PHI, index=1)


def measured(path, surface):
    """With the true losses and those on the plane, as an objective would give them."""
    found = on_surface(path, surface)
    feet = bowl(*found.coordinates.T)
    fields = {**vars(found), "plane_losses": feet, "loss_kind": "true"}
    return Projection(**fields)


def test_honesty_draws_the_true_loss_beside_that_on_the_plane_and_both_distances():
    runs = [measured(run(k, name), plane()) for k, name in enumerate(("adam", "lion"))]
    figure = plots.honesty(runs)
    upper, lower = figure.axes
    for k, found in enumerate(runs):
        pairs = [(upper, found.losses, found.plane_losses)]
        pairs.append((lower, found.distances, found.travelled))
        for axes, true, other in pairs:
            solid, dashed = axes.lines[2 * k : 2 * k + 2]
            np.testing.assert_allclose(solid.get_ydata(), true)
            np.testing.assert_allclose(dashed.get_ydata(), other)
            assert solid.get_linestyle() == "-" != dashed.get_linestyle()
            assert solid.get_color() == dashed.get_color() == plots.optimizer_color(found.label)
    texts = [[t.get_text() for t in axes.get_legend().get_texts()] for axes in (upper, lower)]
    assert texts == [
        ["true (all rows, evaluation mode)", "slice (on the plane)"],
        ["from the plane", "from the start"],
    ]
    assert legend(figure) == ["adam", "lion"] and caption(figure).count("at most") == 2
    assert lower.get_ylim()[0] == 0 and upper.get_yscale() == "linear"
    other = plots.honesty(on_surface(run(), line())).axes[0].get_legend()  # without an objective
    names = [text.get_text() for text in other.get_texts()]
    assert names == ["recorded (batch, training mode)", "slice (on the line)"]
    with pytest.raises(ValueError, match="`honesty` expects one projection or more"):
        plots.honesty([])


def test_honesty_of_a_run_that_blew_up_does_not_flatten_the_others():
    weights = 3.0 ** np.arange(40)[:, None] * np.ones(SIZE)
    bad = Trajectory(range(40), weights, 5.0 ** np.arange(40))
    good = [on_surface(run(k, num=300), plane()) for k in (1, 2)]
    figure = plots.honesty([*good, on_surface(bad, plane())])
    for axes in figure.axes:
        assert axes.get_title("right").startswith("cut at ") and axes.get_ylim()[1] < 50
        assert axes.get_yscale() == "linear"
    alone = plots.honesty(on_surface(bad, plane()))
    assert [axes.get_yscale() for axes in alone.axes] == ["log", "log"]
    draw(alone)
    lost = Trajectory([0, 1], np.full((2, SIZE), np.nan), [np.nan, np.nan])
    draw(plots.honesty(on_surface(lost, plane())))
    draw(plots.honesty(on_surface(Trajectory([], np.zeros((0, SIZE)), []), plane())))
