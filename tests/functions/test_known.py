"""Known functions: values, gradients, minima and saddles, by NumPy and as Keras models."""

import keras
import numpy as np
import pytest

import keras_valleys as kv
from helpers.known import KNOWN, objective_of, some_points

WITH_MINIMA = [name for name, (function, _) in KNOWN.items() if function.limits.shape[0] == 2]


def by_differences(function, points, step=1e-6):
    """The gradient by central differences."""
    size = points.shape[-1]
    return np.stack(
        [
            (function(points + step * axis) - function(points - step * axis)) / (2 * step)
            for axis in np.eye(size)
        ],
        axis=-1,
    )


def hessian(function, points):
    size = points.shape[-1]
    parts = [
        by_differences(lambda p, k=k: function.gradient(p)[..., k], points) for k in range(size)
    ]
    return np.stack(parts, axis=-2)


@pytest.mark.parametrize("name", KNOWN)
def test_values_are_the_formula_in_float64(name):
    function, formula = KNOWN[name]
    points = some_points(function).reshape(5, 12, -1)
    expected = [formula(*map(float, point)) for point in points.reshape(60, -1)]
    found = function(points)
    assert found.shape == (5, 12) and found.dtype == "float64"
    np.testing.assert_allclose(found.reshape(60), expected, rtol=1e-12, atol=1e-13)
    assert function(function.start).shape == ()


@pytest.mark.parametrize("name", KNOWN)
def test_gradients_are_the_slope(name):
    function, _ = KNOWN[name]
    points = some_points(function)
    points = points[np.abs(points).max(axis=-1) > 1e-2]  # the tip of a cusp has no slope
    found = function.gradient(points)
    expected = by_differences(function, points)
    assert found.shape == points.shape
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("name", KNOWN)
def test_the_model_has_the_function_as_its_loss(name):
    function, _ = KNOWN[name]
    objective, points = objective_of(function), some_points(function)
    values, scale = function(points), np.abs(function(points)).max()
    # Where the value is what is left of much larger numbers, these set its rounding.
    np.testing.assert_allclose(objective(points), values, rtol=1e-6, atol=2e-7 * scale)
    slopes = function.gradient(points)
    found = kv.gradients.gradient(objective, points)
    np.testing.assert_allclose(found, slopes, rtol=1e-5, atol=3e-6 * np.abs(slopes).max())
    assert objective.loss_name == function.name and objective.size == len(function.limits)


@pytest.mark.parametrize("name", KNOWN)
def test_what_is_known_of_it_is_within_its_limits(name):
    function, _ = KNOWN[name]
    low, high = function.limits.T
    for points in (function.start, function.minima, function.saddles):
        assert np.all((low < points) & (points < high))
    for points in (function.minima, function.saddles):
        assert len(np.unique(points.round(3), axis=0)) == len(points)
        np.testing.assert_allclose(function.gradient(points), 0, atol=2e-13)


@pytest.mark.parametrize("name", WITH_MINIMA)
def test_minima_curve_up_and_saddles_both_ways(name):
    function, _ = KNOWN[name]
    assert np.all(np.linalg.eigvalsh(hessian(function, function.minima)) > 0.1)
    signs = np.sign(np.linalg.eigvalsh(hessian(function, function.saddles)))
    assert np.all(signs == [-1, 1])


def test_all_minima_of_rastrigin_and_himmelblau_are_there():
    rastrigin, himmelblau = kv.functions.rastrigin(), kv.functions.himmelblau()
    numbers = {tuple(place) for place in np.round(rastrigin.minima).astype(int).tolist()}
    assert numbers == {(i, j) for i in range(-5, 6) for j in range(-5, 6)}
    assert len(rastrigin.saddles) == 2 * 11 * 10
    np.testing.assert_allclose(himmelblau(himmelblau.minima), 0, atol=1e-24)
    assert len(himmelblau.minima) == len(himmelblau.saddles) == 4
    # The lowest of a fine grid lies beside one of the minima, for every quarter of the plane.
    axes = himmelblau.coordinates((401, 301))
    values = himmelblau(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1))
    for x in (axes[0] < 0, axes[0] > 0):
        for y in (axes[1] < 0, axes[1] > 0):
            quarter = np.where(x[:, None] & y, values, np.inf)
            i, j = np.unravel_index(np.argmin(quarter), quarter.shape)
            off = himmelblau.minima - [axes[0][i], axes[1][j]]
            assert np.abs(off).max(axis=1).min() < 0.05


@pytest.mark.parametrize("p", [0.01, 0.2, 0.5, 1, 1.5, 2, 3])
def test_a_power_is_finite_at_its_tip(p):
    function = kv.functions.power(p)
    objective = objective_of(function)
    tips = np.array([[0.0], [-0.0], [1e-42], [-1e-39]])
    assert np.all(kv.gradients.gradient(objective, tips)[:2] == 0)
    assert np.all(np.isfinite(kv.gradients.gradient(objective, tips)))
    assert np.all(objective(tips)[:2] == 0) and np.all(function.gradient([[0.0], [-0.0]]) == 0)
    (curved,) = kv.gradients.hessian_vector_product(objective, [1.0], [0.0])
    assert curved == (2 if p == 2 else 0)
    model = function.build_model(0, optimizer=keras.optimizers.SGD(0.1))
    model.fit(*function.data(3), batch_size=1, verbose=0)
    assert model.get_weights()[0].tolist() == [0.0]


def test_what_overflows_is_infinite_and_nan_stays():
    for name in ("rosenbrock", "himmelblau", "beale"):
        function = KNOWN[name][0]
        far = np.array([[1e200, 3.0], [np.nan, 1.0]])
        assert function(far).tolist()[0] == np.inf and np.isnan(function(far)[1])
        assert np.isinf(objective_of(function)(far / 1e170)[0])
    assert np.isnan(kv.functions.power(0.5)([[np.nan]])[0])


def test_the_saddle_is_negative():
    function = kv.functions.saddle()
    model = function.build_model([0.5, 2.0])
    logs = model.evaluate(*function.data(), verbose=0, return_dict=True)
    assert logs["loss"] == logs["step_loss"] == -3.75 == function([0.5, 2.0])


def test_the_valley_has_its_condition_and_its_angle():
    function = kv.functions.oblique_valley(condition=40, angle=0.3)
    values, vectors = np.linalg.eigh(hessian(function, np.array([0.7, -0.2])))
    np.testing.assert_allclose(values, [1, 40], rtol=1e-6)
    assert np.arctan2(*(vectors[::-1, 0] * np.sign(vectors[0, 0]))) == pytest.approx(0.3)


@pytest.mark.parametrize(
    "make, message",
    [
        (
            lambda: kv.functions.rosenbrock(b=0),
            "`rosenbrock` expects `b` to be a finite number > 0",
        ),
        (
            lambda: kv.functions.oblique_valley(condition=-1),
            "`condition` to be a finite number > 0",
        ),
        (lambda: kv.functions.oblique_valley(angle=np.inf), "`angle` to be a finite angle"),
        (lambda: kv.functions.power(0), "`power` expects `p` to be a finite number > 0"),
        (lambda: kv.functions.power("2"), "`power` expects `p` to be a finite number > 0"),
    ],
)
def test_impossible_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
