"""Pictures of many optimizers: every run is there, under its name, on shared axes."""

import dataclasses
import math

import numpy as np
import pytest
from matplotlib.colors import to_hex

import keras_valleys as kv
from keras_valleys.comparisons import Comparison, Run, Summary
from keras_valleys.plots import learning_rates, loss_panels, path_panels, success

LABELS = ["adam", "sgd", "my own", "lion", "rmsprop"]


def line():
    x = np.linspace(-1.5, 1.4, 291)
    return kv.surfaces.Surface(np.cos(4 * x) + 0.1 * x, [x], [[1.0]], [0.0], ["phi"], units="rad")


def plane():
    x, y = np.linspace(-2, 3, 51), np.linspace(-1, 3, 41)
    losses = (x[:, None] - 2) ** 2 + 2 * (y - 1) ** 2
    return kv.surfaces.Surface(losses, (x, y), np.eye(2), np.zeros(2), ["u", "v"])


def walks(size=1, steps=7, labels=LABELS, seeds=2):
    """Two walks of each label, of other weights and losses."""
    random = np.random.RandomState(7)
    return [
        kv.trajectories.Trajectory(
            np.arange(steps),
            random.uniform(-0.9, 0.8, (steps, size)),
            random.uniform(1, 2, steps),
            label,
        )
        for label in labels
        for _ in range(seeds)
    ]


def panels_of(figure):
    return {axes.get_title("left"): axes for axes in figure.axes if axes.get_title("left")}


def drawn(axes, color):
    """The data of the lines of a color."""
    lines = [one for one in axes.lines if to_hex(one.get_color()) == color and len(one.get_xdata())]
    return [np.asarray(one.get_data(), "float64") for one in lines if one.get_linestyle() != "None"]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_each_walk_is_in_the_panel_of_its_label(theme):
    paths = walks()
    figure = path_panels(line(), paths, theme=theme)
    panels = panels_of(figure)
    assert list(panels) == LABELS
    for label, axes in panels.items():
        own = [path for path in paths if path.label == label]
        found = drawn(axes, kv.plots.optimizer_color(label))
        assert len(found) == len(own) == 2
        for (x, y), path in zip(found, own, strict=True):
            np.testing.assert_allclose(x, np.degrees(path.weights[:, 0]))
            np.testing.assert_array_equal(y, path.steps)
        assert axes.get_ylim()[0] > axes.get_ylim()[1]  # time runs down
        assert axes.get_xlim() == pytest.approx(np.degrees([-1.5, 1.4]))
    ridges = [one.get_xdata()[0] for one in panels["adam"].lines if len(one.get_xdata()) == 2]
    for valley in kv.valleys.find_valleys(line()):
        for ridge in valley.ridges:
            assert any(abs(np.degrees(ridge) - x) < 1e-6 for x in ridges)


def test_walks_on_a_plane():
    paths = walks(size=2)
    figure = path_panels(plane(), paths)
    for label, axes in panels_of(figure).items():
        own = [path for path in paths if path.label == label]
        found = drawn(axes, kv.plots.optimizer_color(label))
        for points, path in zip(found, own, strict=True):
            np.testing.assert_allclose(points.T, path.weights)
        assert axes.get_xlim() == (-2, 3) and axes.get_ylim() == (-1, 3)
    assert figure.axes[-1].get_ylabel() == "loss"  # the color bar


def test_what_is_outside_is_said():
    path = kv.trajectories.Trajectory([0, 1, 2], [[0, 1], [9, 9], [np.nan, 0]], [1.0, 2.0, np.nan])
    axes = panels_of(path_panels(plane(), [dataclasses.replace(path, label="adam")]))["adam"]
    assert [text.get_text() for text in axes.texts] == ["1 step outside; 1 step diverged"]


def test_losses_with_their_median():
    paths = walks(seeds=3)
    panels = panels_of(loss_panels(paths))
    for label, axes in panels.items():
        own = [path.losses for path in paths if path.label == label]
        *runs, median = drawn(axes, kv.plots.optimizer_color(label))
        np.testing.assert_array_equal([y for _, y in runs], own)
        np.testing.assert_array_equal(median[1], np.median(own, axis=0))
    assert len({axes.get_ylim() for axes in panels.values()}) == 1


def test_a_loss_that_blows_up_does_not_flatten_the_others():
    good, bad, lost = walks(labels=["adam", "sgd", "lion"], seeds=1)
    bad = dataclasses.replace(bad, losses=10.0 ** np.arange(7))
    lost = dataclasses.replace(lost, losses=np.array([1.5, 2.0, *[np.inf] * 3, *[np.nan] * 2]))
    figure = loss_panels([good, bad, lost])
    panels = panels_of(figure)
    assert panels["adam"].get_ylim()[1] < 10
    assert "6 losses above" in figure.get_supxlabel() or "losses above" in figure.get_supxlabel()
    assert [text.get_text() for text in panels["lion"].texts] == ["1 of 1 diverged"]
    wide = dataclasses.replace(good, losses=np.geomspace(1e3, 1e-3, 7))
    assert panels_of(loss_panels([wide, good]))["adam"].get_yscale() == "log"


def comparison():
    """What is known of six runs, without any fit."""
    valleys = kv.valleys.find_valleys(line())
    (path,) = walks(labels=["adam"], seeds=1)

    def run(label, rate, start, loss, valley=0, status="finished"):
        return Run(
            label,
            rate,
            start,
            0,
            status,
            "",
            loss,
            loss,
            3,
            valley,
            0,
            valley == 0,
            2,
            0.1,
            0.2,
            None,
            path,
        )

    tuning = (
        run("adam", 0.01, 0, 0.6),
        run("adam", 0.01, 1, 0.8),
        run("adam", 0.1, 0, 0.5),
        run("adam", 0.1, 1, 0.4, valley=1),
        run("sgd", 0.01, 0, 0.7, valley=None),
        run("sgd", 0.01, 1, 0.9),
        run("sgd", 0.1, 0, 1e9),
        run("sgd", 0.1, 1, math.nan, None, "diverged"),
    )
    runs = (*tuning[2:4], *tuning[4:6])
    interval = kv.comparisons.success_interval(1, 2)
    summaries = tuple(
        Summary(label, rate, 2, 1, interval, 0, 0, 0.45, 0.4, 0.0, 2.0, 0.2)
        for label, rate in (("adam", 0.1), ("sgd", 0.01))
    )
    return Comparison(runs, summaries, tuning, valleys, 0.01)


def cells(figure):
    """The texts of the table, row by row."""
    axes = figure.axes[0]
    columns = len(axes.get_xticks())
    texts = [text.get_text() for text in axes.texts]
    return [texts[k : k + columns] for k in range(0, len(texts), columns)]


def test_the_table_of_valleys():
    found = comparison()
    figure = success(found)
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["adam", "sgd"]
    heads = [label.get_text().split("\n")[0] for label in axes.get_xticklabels()]
    places = [kv.surfaces.coordinate_text(v.position[0], "rad", short=True) for v in found.valleys]
    assert heads == ["success (95 % interval)", *places[:2], "none"]
    rate = "1/2  (9 \N{EN DASH} 91 %)"
    assert cells(figure) == [[rate, "1", "1", "0"], [rate, "1", "0", "1"]]
    shares = np.asarray(axes.collections[0].get_array()).reshape(2, 4)
    np.testing.assert_array_equal(shares, [[0.5, 0.5, 0.5, 0], [0.5, 0.5, 0, 0.5]])


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_table_of_starts(theme):
    figure = success(comparison(), by="start", theme=theme)
    heads = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert heads == ["success (95 % interval)", "start 0", "start 1"]
    assert [row[1:] for row in cells(figure)] == [["1/1", "0/1"], ["0/1", "1/1"]]


def test_every_learning_rate_that_was_tried_is_drawn():
    panels = panels_of(learning_rates(comparison()))
    assert list(panels) == ["adam", "sgd"] and panels["sgd"].get_xscale() == "log"
    color = kv.plots.optimizer_color("adam")
    ((rates, medians),) = drawn(panels["adam"], color)
    assert rates.tolist() == [0.01, 0.1] and medians.tolist() == pytest.approx([0.7, 0.45])
    dots = [
        (x, y)
        for one in panels["adam"].lines
        if one.get_marker() == "o" and to_hex(one.get_color()) == color
        for x, y in zip(*one.get_data(), strict=True)
    ]
    assert sorted(dots) == [(0.01, 0.6), (0.01, 0.8), (0.1, 0.4), (0.1, 0.5)]
    crosses = [one for one in panels["sgd"].lines if one.get_marker() == "x"]
    assert [one.get_xdata()[0] for one in crosses] == [0.1]
    (ring,) = [one for one in panels["sgd"].lines if one.get_markersize() == 10]
    assert ring.get_xdata()[0] == 0.01 and ring.get_ydata()[0] == pytest.approx(0.8)


def test_what_cannot_be_drawn_is_told():
    found = dataclasses.replace(comparison(), tuning=())
    with pytest.raises(ValueError, match="several learning rates"):
        learning_rates(found)
    with pytest.raises(ValueError, match="`by` to be 'start'"):
        success(dataclasses.replace(found, valleys=None), by="valley")
    with pytest.raises(ValueError, match="`by` to be 'start'"):
        success(found, by="seed")
    with pytest.raises(ValueError, match="'light' or 'dark'"):
        loss_panels(walks(), theme="blue")
    with pytest.raises(ValueError, match="weight vectors of the surface's size 1"):
        path_panels(line(), walks(size=2))


def test_twenty_optimizers_have_panels_and_names_of_their_own():
    labels = [f"an optimizer with a name that is much too long, number {k}" for k in range(20)]
    figure = path_panels(line(), walks(labels=labels, seeds=1))
    titles = [axes.get_title("left") for axes in figure.axes if axes.get_title("left")]
    assert len(titles) == 20 and max(map(len, titles)) <= 22  # cut, and not taken for one
