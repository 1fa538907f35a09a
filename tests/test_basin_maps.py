"""Which start ends in which valley: the map, its file, its pictures, its script."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers, optimizers

import keras_valleys as kv
from keras_valleys.descents import BasinMap, basin_map, descend
from keras_valleys.plots.basins import valley_color

SCRIPT = pathlib.Path(__file__).parent.parent / "scripts" / "map_basins.py"
STARTS = np.radians(np.linspace(-84, 79, 14))
RATES = [0.002, 0.02]


@pytest.fixture(scope="module")
def rosette():
    (x, y), _ = kv.datasets.rosette(num_points=20)
    model = keras.Sequential([keras.Input((1,)), kv.layers.AngleFit()])
    model.compile("sgd", kv.losses.RootError())
    objective = kv.objectives.Objective(model, x, y)
    phi = np.linspace(-np.pi / 2, np.pi / 2, 2001)
    surface = kv.surfaces.evaluate(objective, coordinates=phi)
    return objective, kv.valleys.find_valleys(surface, periodic=np.pi)


@pytest.fixture(scope="module")
def waves():
    """Two weights, several valleys: a wave with frequency and phase."""
    x = np.linspace(-3, 4, 30)[:, None]
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1, activation=keras.ops.sin)])
    model.compile("sgd", "mean_squared_error")
    objective = kv.objectives.Objective(model, x, np.sin(1.3 * x + 0.7))
    axes = [np.linspace(-3.1, 3.4, 41), np.linspace(-3.6, 4.1, 37)]
    surface = kv.surfaces.evaluate(objective, coordinates=axes)
    return objective, kv.valleys.find_valleys(surface, persistence=0.01)


@pytest.fixture(scope="module")
def by_start(rosette):
    objective, valleys = rosette
    makes = {"plain": optimizers.SGD(0.02), "adam": "adam", "plain again": optimizers.SGD(0.02)}
    return basin_map(objective, makes, STARTS, 25, valleys)


@pytest.fixture(scope="module")
def by_rate(rosette):
    objective, valleys = rosette
    return basin_map(objective, optimizers.SGD(0.7), STARTS, 25, valleys, learning_rates=RATES)


def test_it_is_one_descent_after_the_other(rosette, by_start, by_rate):
    objective, valleys = rosette
    found = descend(objective, optimizers.SGD(0.02), STARTS, 25)
    np.testing.assert_array_equal(by_start.losses[0], found.losses)
    np.testing.assert_allclose(by_start.ends[0], found.weights, rtol=1e-6, atol=1e-7)
    expected = [valleys.at(float(phi)) for phi in found.weights[:, 0]]
    np.testing.assert_array_equal(by_start.indices[0], expected)
    assert len(set(expected)) > 2 and by_start.indices.shape == (3, 14)
    assert by_start.optimizers == ("plain", "adam", "plain again") and by_start.labels == ("phi",)
    np.testing.assert_allclose(by_start.distances, 0, atol=1e-6)
    np.testing.assert_array_equal(by_rate.losses[0, 1], found.losses)
    slow = descend(objective, optimizers.SGD(0.002), STARTS, 25)
    np.testing.assert_array_equal(by_rate.losses[0, 0], slow.losses)
    assert by_rate.indices.shape == (1, 2, 14) and by_rate.optimizers == ("SGD",)


def test_small_steps_stay_in_their_basin(rosette, by_rate):
    _, valleys = rosette
    np.testing.assert_array_equal(by_rate.indices[0, 0][3:-3], valleys.at(STARTS)[3:-3])


def test_equal_optimizers_give_equal_rows_in_any_order(rosette, by_start):
    objective, valleys = rosette
    np.testing.assert_array_equal(by_start.ends[0], by_start.ends[2])
    turned = basin_map(objective, ["adam", optimizers.SGD(0.02)], STARTS, 25, valleys)
    np.testing.assert_array_equal(turned.ends, by_start.ends[[1, 0]])
    assert turned.optimizers == ("Adam", "SGD")
    twice = basin_map(objective, ["sgd", "sgd"], STARTS[:2], 1, valleys)
    assert twice.optimizers == ("SGD 0.01", "SGD 0.01 (2)")


def test_two_axes(waves):
    objective, valleys = waves
    axes = [np.linspace(-3, 3.3, 7), np.linspace(-3.5, 4, 6)]
    found = basin_map(objective, {"a": optimizers.SGD(0.05)}, axes, 30, valleys)
    for i, kernel in enumerate(axes[0]):
        starts = np.stack([np.full(6, kernel), axes[1]], axis=-1)
        row = descend(objective, optimizers.SGD(0.05), starts, 30)
        np.testing.assert_allclose(found.losses[0, i], row.losses, rtol=1e-4)
        np.testing.assert_array_equal(found.indices[0, i], valleys.at(found.ends[0, i]))
    assert len(np.unique(found.indices)) > 4
    np.testing.assert_allclose(found.share(0), np.mean(found.indices == 0))


def test_a_start_that_leaves_or_diverges_ends_in_none(waves):
    objective, valleys = waves
    axes = [[-2.9, 3.3], [-3.5, 0.1, 3.9]]
    far = basin_map(objective, optimizers.SGD(1e20), axes, 4, valleys)
    np.testing.assert_array_equal(far.indices, -1)
    assert far.share(-1) == 1.0


def test_of_more_weights_than_axes_the_distance_is_told():
    random = np.random.default_rng(4)
    model = keras.Sequential([keras.Input((2,)), layers.Dense(2, "tanh"), layers.Dense(1)])
    model.compile("sgd", "mean_squared_error")
    objective = kv.objectives.Objective(
        model, random.normal(size=(9, 2)), random.normal(size=(9, 1))
    )
    directions = kv.directions.random(objective, 1, seed=1)
    line = kv.surfaces.evaluate(objective, directions, coordinates=np.linspace(-2, 2.5, 41))
    valleys = kv.valleys.find_valleys(line)
    starts = np.linspace(-1.9, 2.2, 5)
    found = basin_map(objective, optimizers.SGD(0.1), starts, 20, valleys)
    descents = descend(
        objective, optimizers.SGD(0.1), line.origin + starts[:, None] * line.directions, 20
    )
    ends = kv.trajectories.project(descents.weights, line)
    np.testing.assert_allclose(found.ends[0], ends, rtol=1e-5, atol=1e-6)
    off = np.linalg.norm(descents.weights - line.origin - ends @ line.directions, axis=1)
    np.testing.assert_allclose(found.distances[0], off, rtol=1e-4)
    assert off.min() > 1e-3
    caption = kv.plots.basins(found, valleys).get_supxlabel()
    assert f"up to {off.max():.3g} from the surface" in caption


def test_it_is_saved_and_read(by_start, by_rate, waves, tmp_path):
    objective, valleys = waves
    plane = basin_map(objective, "sgd", [[0.0, 1.0], [0.0, 0.5, 1.5]], 1, valleys)
    for given in (by_start, by_rate, plane):
        given.save(tmp_path / "map.npz")
        read = BasinMap.load(tmp_path / "map.npz")
        for field in dataclasses.fields(BasinMap):
            a, b = getattr(given, field.name), getattr(read, field.name)
            if field.name == "coordinates":
                assert len(a) == len(b) and all(map(np.array_equal, a, b))
            else:
                np.testing.assert_array_equal(a, b)
        with pytest.raises(ValueError, match="read-only"):
            read.indices[...] = 0
    (tmp_path / "bad.npz").write_bytes(b"PK no zip")
    with pytest.raises(ValueError, match="`BasinMap.load` expects a file written by"):
        BasinMap.load(tmp_path / "bad.npz")
    with pytest.raises(ValueError, match="`BasinMap` expects .*Make the shapes agree"):
        dataclasses.replace(by_start, optimizers=("one",))


def test_it_goes_on_from_a_checkpoint(rosette, by_rate, tmp_path):
    objective, valleys = rosette
    path = tmp_path / "part.npz"
    given = (objective, optimizers.SGD(0.7), STARTS, 25, valleys)
    first = basin_map(*given, learning_rates=RATES, checkpoint=path)
    again = basin_map(*given, learning_rates=RATES, checkpoint=path)
    np.testing.assert_array_equal(first.ends, by_rate.ends)
    np.testing.assert_array_equal(again.ends, by_rate.ends)
    with pytest.raises(ValueError, match="`basin_map` expects `checkpoint` to be of the same"):
        basin_map(*given, learning_rates=[0.1], checkpoint=path)


def test_bad_input_is_refused(rosette):
    objective, valleys = rosette
    good = dict(objective=objective, optimizers="sgd", coordinates=STARTS, steps=2, valleys=valleys)
    schedule = optimizers.SGD(optimizers.schedules.CosineDecay(0.1, 5))
    cases = [
        (dict(coordinates=STARTS[::-1]), "one rising 1-D array"),
        (dict(coordinates=[STARTS, STARTS]), "each of the surface's 1 axes"),
        (dict(coordinates=[0.0, np.inf]), "finite numbers"),
        (dict(optimizers=[]), "one optimizer or more"),
        (dict(optimizers={"x": "no such"}), "`basin_map` expects each of `optimizers`"),
        (dict(optimizers=["sgd", optimizers.SGD(0.1, clipnorm=1.0)]), "each weight by itself"),
        (dict(learning_rates=[0.1, 0.0]), "numbers above 0"),
        (dict(learning_rates=0.1), "1-D array of numbers above 0"),
        (dict(learning_rates=[0.1], optimizers=schedule), "whose learning rate can be set"),
        (dict(steps=0), "`basin_map` expects `steps`"),
        (dict(verbose="loud"), "`basin_map` expects `verbose`"),
    ]
    for change, message in cases:
        with pytest.raises(ValueError, match=message):
            basin_map(**{**good, **change})
    plane = kv.surfaces.Surface(np.eye(3, 4), (np.arange(3), np.arange(4)), np.eye(2), np.zeros(2))
    with pytest.raises(ValueError, match="surface over 2 weights, an objective over 1"):
        axes = [[0.0], [1.0]]
        basin_map(objective, "sgd", axes, 2, kv.valleys.find_valleys(plane))


# Pictures


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_each_start_has_the_color_of_its_valley(rosette, by_start, theme):
    _, valleys = rosette
    figure = kv.plots.basins(by_start, valleys, theme=theme)
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3] / 255
    for k, axes in enumerate(figure.axes[1:]):
        for start, index in zip(STARTS, by_start.indices[k], strict=True):
            x, y = axes.transData.transform([np.degrees(start), 0.5])
            found = pixels[pixels.shape[0] - 1 - int(y), int(x)]
            np.testing.assert_allclose(found, valley_color(index), atol=0.01)
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names[0] == "valley 0 at 0°"
    assert kv.plots.encode(figure)[:4] == b"\x89PNG"


def test_each_learning_rate_has_its_row(rosette, by_rate):
    _, valleys = rosette
    turned = dataclasses.replace(
        by_rate, learning_rates=RATES[::-1],
        **{n: getattr(by_rate, n)[:, ::-1] for n in ("indices", "losses", "ends", "distances")},
    )  # fmt: skip
    for given in (by_rate, turned):
        figure = kv.plots.basins_by_learning_rate(given, valleys)
        figure.canvas.draw()
        pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3] / 255
        for rate, row in zip(RATES, by_rate.indices[0], strict=True):
            for start, index in zip(STARTS, row, strict=True):
                x, y = figure.axes[1].transData.transform([np.degrees(start), rate])
                found = pixels[pixels.shape[0] - 1 - int(y), int(x)]
                np.testing.assert_allclose(found, valley_color(index), atol=0.01)


def test_a_map_over_two_axes_is_not_transposed(waves):
    _, valleys = waves
    axes = [np.linspace(-3, 3.3, 7), np.linspace(-3.5, 4, 6)]
    indices = np.random.default_rng(0).integers(-1, 3, (2, 7, 6))
    blank = np.zeros((2, 7, 6))
    given = BasinMap(
        indices, blank, np.zeros((2, 7, 6, 2)), blank, axes, valleys.surface.labels, "ab", 3
    )
    figure = kv.plots.basins(given, valleys)
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3] / 255
    for k, panel in enumerate(figure.axes):
        right = 0
        for i, j in np.ndindex(7, 6):
            if indices[k, i, j] < 0:
                continue
            x, y = panel.transData.transform([axes[0][i], axes[1][j]])
            patch = pixels[pixels.shape[0] - 1 - int(y) - 3 :, int(x) - 3 :][:7, :7]
            close = np.abs(patch - valley_color(indices[k, i, j])).max(axis=-1) < 0.02
            right += close.mean() > 0.3  # a contour or a floor may lie on it
        assert right >= 0.9 * np.sum(indices[k] >= 0)


def test_colors_and_refusals(rosette, waves, by_start, by_rate):
    colors = [valley_color(k) for k in range(27)]
    assert len(set(colors)) == 27 and colors[0] == valley_color(27)
    _, valleys = rosette
    with pytest.raises(ValueError, match="`basins` expects a map without learning rates"):
        kv.plots.basins(by_rate, valleys)
    with pytest.raises(ValueError, match="expects a map with learning rates, over one axis"):
        kv.plots.basins_by_learning_rate(by_start, valleys)
    with pytest.raises(ValueError, match="the valleys that the map was made with"):
        kv.plots.basins(by_start, waves[1])
    with pytest.raises(ValueError, match="theme"):
        kv.plots.basins(by_start, valleys, theme="blue")


# The script


def run(folder, *arguments):
    command = [sys.executable, str(SCRIPT), "--log-dir", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_script_maps_by_start_and_by_learning_rate(tmp_path):
    few = ["--starts", "30", "--steps", "5"]
    done = run(tmp_path, *few, "--optimizers", "momentum,Lion")
    assert done.returncode == 0, done.stderr
    assert "SGD, momentum 0.9: " in done.stdout and "Lion: " in done.stdout
    done = run(tmp_path, *few, "--by", "learning-rate", "--num-rates", "4")
    assert done.returncode == 0, done.stderr
    assert sorted(os.listdir(tmp_path)) == ["basins-by-learning-rate", "basins-by-start"]
    for name in os.listdir(tmp_path):
        files = {"basins.npz", "basins_dark.png", "basins_light.png", "settings.json"}
        assert files | {"surface.npz", "valleys.csv"} == set(os.listdir(tmp_path / name))
        settings = json.loads((tmp_path / name / "settings.json").read_text())
        assert settings["arguments"]["starts"] == 30
    found = BasinMap.load(tmp_path / "basins-by-learning-rate" / "basins.npz")
    assert found.indices.shape == (1, 4, 30)


@pytest.mark.parametrize(
    "arguments",
    [("--optimizers", "lamb"), ("--optimizers", "no-such"), ("--steps", "0"), ("--by", "chance"),
     ("--rates", "1", "0.1")],
)  # fmt: skip
def test_the_script_refuses_in_one_line(tmp_path, arguments):
    done = run(tmp_path / "logs", *arguments)
    assert done.returncode == 2
    error = [line for line in done.stderr.splitlines() if "map_basins.py: error:" in line]
    assert len(error) == 1 and error[0].startswith("map_basins.py: error:")
    assert not (tmp_path / "logs").exists()
