"""Optimizers on known functions, against gradient descent by NumPy."""

import keras
import numpy as np
import pytest

import keras_valleys as kv
from helpers.known import KNOWN, descent, objective_of

RATES = {"beale": 0.005, "himmelblau": 0.007, "rosenbrock": 0.0007, "rastrigin": 0.0012}
OPTIMIZERS = sorted(
    name
    for name, value in vars(keras.optimizers).items()
    if isinstance(value, type)
    and issubclass(value, keras.optimizers.Optimizer)
    and name not in ("Optimizer", "LossScaleOptimizer", "MultiOptimizer")
)


def fitted(function, optimizer, num_steps, start=None, callbacks=()):
    """The path of a real fit."""
    model = function.build_model(start, optimizer=optimizer)
    recorder = kv.callbacks.TrajectoryRecorder()
    data = function.data(num_steps)
    model.fit(*data, batch_size=1, verbose=0, callbacks=[recorder, *callbacks])
    return recorder.trajectory


@pytest.mark.parametrize(
    "name", ["rosenbrock", "beale", "himmelblau", "rastrigin", "saddle", "turned valley", "between"]
)
def test_a_fit_is_gradient_descent(name):
    function, _ = KNOWN[name]
    rate = RATES.get(name, 0.01)
    path = fitted(function, keras.optimizers.SGD(rate), 25)
    expected = descent(function, function.start, rate, 25)
    assert path.loss_source.startswith("exact")
    np.testing.assert_allclose(path.weights, expected, rtol=2e-5, atol=2e-5)
    values = function(path.weights[:-1].astype("float64"))
    np.testing.assert_allclose(path.losses[:-1], values, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_walks(name, tmp_path):
    function = kv.functions.himmelblau()
    surface = kv.surfaces.Surface(np.zeros((2, 3)), [[-5, 5], [-5, 0, 5]], np.eye(2), np.zeros(2))
    board = kv.callbacks.SurfaceBoard(tmp_path / "run", surface, images=0)
    optimizer = getattr(keras.optimizers, name)(0.02)
    path = fitted(function, optimizer, 6, start=[0.4, 0.3], callbacks=[board])
    assert len(path) == 7 and np.all(np.isfinite(path.weights))
    assert np.any(path.weights[-1] != path.weights[0])
    values = function(path.weights[:-1].astype("float64"))
    np.testing.assert_allclose(path.losses[:-1], values, rtol=2e-6)


@pytest.fixture(scope="module")
def valleys():
    """Himmelblau's, found on a grid."""
    function = kv.functions.himmelblau()
    axes = function.coordinates()
    surface = kv.surfaces.evaluate(objective_of(function), coordinates=axes)
    assert surface.labels == ("w[0]", "w[1]") and surface.loss_name == "himmelblau"
    found = kv.valleys.find_valleys(surface)
    assert len(found) == 4
    return found


def test_a_map_of_basins_is_that_of_gradient_descent(valleys):
    function = kv.functions.himmelblau()
    axes = [np.linspace(-4.7, 4.2, 15), np.linspace(-4.4, 4.9, 13)]
    optimizer = keras.optimizers.SGD(0.01)
    basins = kv.descents.basin_map(objective_of(function), optimizer, axes, 300, valleys)
    starts = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    ends = descent(function, starts, 0.01, 300)[-1]
    off = np.linalg.norm(ends[:, :, None] - function.minima, axis=-1)
    assert off.min(axis=-1).max() < 1e-6  # each has come to rest
    floors = np.array([valley.position for valley in valleys])
    number = np.argmin(np.linalg.norm(function.minima[:, None] - floors, axis=-1), axis=1)
    assert sorted(number) == [0, 1, 2, 3]
    np.testing.assert_array_equal(basins.indices[0], number[off.argmin(axis=-1)])
    np.testing.assert_allclose(basins.ends[0], ends, atol=1e-4)


def test_in_a_valley_is_not_at_rest():
    function = kv.functions.oblique_valley(condition=4.0, angle=0.3)
    across = np.array([-np.sin(0.3), np.cos(0.3)])
    path = fitted(function, keras.optimizers.SGD(2 / 4.0), 40, start=0.8 * across)
    signs = (-1.0) ** np.arange(41)
    np.testing.assert_allclose(path.weights @ across, 0.8 * signs, atol=1e-5)
    axes = function.coordinates((41, 31))
    objective = objective_of(function)
    (valley,) = found = kv.valleys.find_valleys(kv.surfaces.evaluate(objective, coordinates=axes))
    starts = [[-0.3, 0.2], [0.5, 0.7, 0.9]]
    basins = kv.descents.basin_map(objective, keras.optimizers.SGD(0.5), starts, 40, found)
    assert np.all(basins.indices == valley.index) and basins.losses.min() > 0.1
    caption = " ".join(kv.plots.basins(basins, found).get_supxlabel().split())
    assert "in its basin after the last step, at rest or not" in caption


@pytest.mark.parametrize("p", [0.5, 1.5])
def test_a_power_is_jumped_over_between_equal_losses(p):
    rate = 0.2
    jump = (rate * p / 2) ** (1 / (2 - p))
    assert rate * p * jump ** (p - 1) == pytest.approx(2 * jump)
    function = kv.functions.power(p)
    path = fitted(function, keras.optimizers.SGD(rate), 4, start=jump)
    np.testing.assert_allclose(path.weights[:, 0], jump * np.array([1, -1, 1, -1, 1]), rtol=1e-5)
    np.testing.assert_allclose(path.losses[:-1], jump**p, rtol=1e-5)
    # Beside it, powers above 1 come back to it, and those below 1 are thrown away.
    beside = fitted(function, keras.optimizers.SGD(rate), 4, start=1.02 * jump)
    off = np.abs(np.abs(beside.weights[:, 0]) / jump - 1)
    assert off[-1] < 0.01 * off[0] or (off[-1] > 5 * off[0] and p < 1)
    assert (off[-1] < off[0]) == (p > 1)


def test_optimizers_are_compared_and_one_that_diverges_warns_of_nothing(valleys):
    function = kv.functions.himmelblau()
    optimizers = {"slow": keras.optimizers.SGD(0.01), "wild": keras.optimizers.SGD(0.5)}
    comparison = kv.comparisons.compare(
        function.build_model, optimizers, *function.data(), 60, surface=valleys
    )
    slow, wild = comparison.runs
    assert slow.final_loss == pytest.approx(0, abs=1e-6) and wild.status == "diverged"
    (end,) = kv.descents.descend(objective_of(function), optimizers["slow"], [[0, 0]], 60).weights
    np.testing.assert_allclose(end, slow.trajectory.weights[-1], atol=1e-5)


def test_pictures_and_pages_show_it(valleys, tmp_path):
    path = fitted(kv.functions.himmelblau(), "adam", 5, start=[1, -2])
    for draw in (kv.plots.contour, kv.plots.surface_3d):
        assert kv.plots.encode(draw(valleys.surface, path)).startswith(b"\x89PNG")
    kv.pages.write_html(tmp_path / "page.html", valleys.surface, path)
    assert "himmelblau" in (tmp_path / "page.html").read_text()
