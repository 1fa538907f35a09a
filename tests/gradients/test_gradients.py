"""Slopes and curvature against formulas, dense Hessians and finite differences."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers

from helpers import models
from keras_valleys import _linalg
from keras_valleys.gradients import Sharpness, gradient, hessian_vector_product, sharpness
from keras_valleys.objectives import Objective


def quadratic(rows=29, seed=4, **options):
    """A Dense model with the squared error: its loss is a quadratic, known in float64.

    Returns:
        The objective, and for any point the gradient and the Hessian.
    """
    random = np.random.RandomState(seed)
    x = (random.normal(size=(rows, 4)) * [1, 2, 0.5, 3] + [0.3, -1, 0, 2]).astype("float32")
    y = random.normal(size=(rows, 3)).astype("float32")
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    model.compile("sgd", "mean_squared_error")
    extended = np.column_stack([x, np.ones(rows)]).astype("float64")
    # Of the mean over 3 outputs: 2 X'X / (3 n), once for each; Keras flattens the kernel by rows.
    hessian = np.kron(2 * extended.T @ extended / (3 * rows), np.eye(3))

    def slope(point):
        error = extended @ point.reshape(5, 3) - y
        return np.ravel(2 * extended.T @ error / (3 * rows))

    return Objective(model, x, y, **options), slope, hessian


def dense_hessian(objective, point=None):
    return hessian_vector_product(objective, np.eye(objective.size), point).astype("float64")


def curved(seed=7):
    """A small network that bends, with statistics and a regularizer."""
    keras.utils.set_random_seed(seed)
    random = np.random.RandomState(seed)
    x, y = random.normal(size=(24, 3)), random.normal(size=(24, 2))
    model = keras.Sequential(
        [
            keras.Input((3,)),
            layers.Dense(4, "tanh", kernel_regularizer=keras.regularizers.L2(0.05)),
            layers.BatchNormalization(),
            layers.Dense(2),
        ]
    )
    model.compile("sgd", "mean_squared_error")
    model.fit(x, y, verbose=0)  # moves the statistics
    return model, x, y


def recurrent():
    model = keras.Sequential([keras.Input((3, 2)), layers.LSTM(2), layers.Dense(1)])
    model.compile("sgd", "mean_squared_error")
    random = np.random.RandomState(2)
    return model, random.normal(size=(11, 3, 2)), random.normal(size=(11, 1))


def convolution():
    model = keras.Sequential(
        [
            keras.Input((5, 4, 2)),
            layers.Conv2D(3, (3, 2), activation="tanh"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2, "softmax"),
        ]
    )
    model.compile("sgd", "sparse_categorical_crossentropy")
    random = np.random.RandomState(2)
    return model, random.normal(size=(11, 5, 4, 2)), random.randint(0, 2, size=11)


def attention():
    inputs = keras.Input((5, 3))
    mixed = layers.MultiHeadAttention(2, 3)(inputs, inputs)
    model = keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling1D()(mixed)))
    model.compile("sgd", "mean_squared_error")
    random = np.random.RandomState(2)
    return model, random.normal(size=(11, 5, 3)), random.normal(size=(11, 2))


def test_a_quadratic_is_known_by_formula():
    objective, slope, hessian = quadratic()
    random = np.random.RandomState(1)
    points, vectors = random.normal(size=(2, 3, 15)), random.normal(size=(2, 4, 15))
    expected = np.array([[slope(p) for p in row] for row in points])
    np.testing.assert_allclose(gradient(objective, points), expected, rtol=2e-5, atol=2e-5)
    products = hessian_vector_product(objective, vectors, points[0, 1])
    np.testing.assert_allclose(products, vectors @ hessian, rtol=2e-5, atol=2e-5)
    assert gradient(objective).shape == (15,) and products.dtype == "float32"
    np.testing.assert_allclose(
        gradient(objective), slope(objective.point().astype("float64")), rtol=2e-5, atol=2e-5
    )
    assert gradient(objective, np.empty((0, 2, 15))).shape == (0, 2, 15)


@pytest.mark.parametrize(
    "num_eigenvalues, num_samples", [(1, 14), (2, 0), (3, 40), (7, 9), (15, 2)]
)
def test_a_quadratics_eigenvalues_repeat_and_are_all_found(num_eigenvalues, num_samples):
    """Each occurs three times, once for each output."""
    objective, _, hessian = quadratic()
    found = sharpness(
        objective, num_eigenvalues=num_eigenvalues, num_samples=num_samples, tolerance=1e-6
    )
    values, vectors = np.linalg.eigh(hessian)
    scale = values[-1]
    expected = values[::-1][:num_eigenvalues]
    np.testing.assert_allclose(found.eigenvalues, expected, rtol=1e-5, atol=1e-6 * scale)
    for vector, value in zip(found.eigenvectors, expected, strict=True):
        space = vectors[:, np.abs(values - value) < 1e-6 * scale]
        assert np.linalg.norm(vector - space @ (space.T @ vector)) < 1e-5
    products = found.eigenvectors @ found.eigenvectors.T
    np.testing.assert_allclose(products, np.eye(num_eigenvalues), atol=1e-10)
    assert np.all(found.residuals < 2e-5 * scale) and found.converged
    if num_samples >= 15:
        assert found.trace == pytest.approx(np.trace(hessian), rel=1e-5) and found.trace_error == 0
    elif not num_samples:
        assert np.isnan(found.trace) and np.isnan(found.trace_error)
    else:
        close = 5 * found.trace_error + 1e-5 * scale
        assert abs(found.trace - np.trace(hessian)) < close


def test_the_eigenvectors_of_different_eigenvalues_and_their_signs():
    random = np.random.RandomState(3)
    x = random.normal(size=(31, 6)) * [1, 2, 0.5, 3, 4, 0.1]
    model = keras.Sequential([keras.Input((6,)), layers.Dense(1, use_bias=False)])
    model.compile("sgd", "mean_squared_error")
    objective = Objective(model, x, np.zeros((31, 1)))
    values, vectors = np.linalg.eigh(2 * x.T @ x / 31)
    for seed in (0, 5):
        found = sharpness(objective, num_eigenvalues=4, seed=seed, tolerance=1e-6)
        np.testing.assert_allclose(found.eigenvalues, values[::-1][:4], rtol=1e-5)
        for vector, expected in zip(found.eigenvectors, vectors.T[::-1], strict=False):
            sign = np.sign(expected[np.abs(expected).argmax()])
            np.testing.assert_allclose(vector, sign * expected, atol=1e-5)


@pytest.mark.parametrize(
    "make", [curved, recurrent, convolution, attention], ids=lambda make: make.__name__
)
def test_networks_agree_with_differences_and_with_their_dense_hessian(make):
    keras.utils.set_random_seed(11)
    model, x, y = make()
    before = [
        np.array(v.value.detach() if hasattr(v.value, "detach") else v.value)
        for v in model.variables
    ]
    objective = Objective(model, x, y)
    point = objective.point().astype("float64")
    hessian = dense_hessian(objective)
    scale = np.abs(hessian).max()
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-5 * scale)
    directions = np.random.RandomState(5).normal(size=(3, objective.size))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    step = 0.01
    losses = [objective(point + s * directions).astype("float64") for s in (step, -step)]
    slopes = np.sum(gradient(objective) * directions, axis=1)
    np.testing.assert_allclose((losses[0] - losses[1]) / (2 * step), slopes, atol=2e-4)
    slopes = [gradient(objective, point + s * directions) for s in (step, -step)]
    columns = (slopes[0] - slopes[1]) / (2 * step)
    np.testing.assert_allclose(directions @ hessian, columns, atol=2e-3 * scale)
    found = sharpness(objective, num_eigenvalues=3, tolerance=1e-6)
    values = np.linalg.eigvalsh(hessian)[::-1]
    np.testing.assert_allclose(found.eigenvalues, values[:3], rtol=1e-5, atol=1e-5 * scale)
    assert abs(found.trace - np.trace(hessian)) <= 5 * found.trace_error + 1e-4 * scale
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable.value), value)


def test_batches_are_one_batch_and_a_subset_is_a_block():
    model, x, y = curved()
    whole = Objective(model, x, y)
    hessian, slope = dense_hessian(whole), gradient(whole)
    batches = Objective(model, x, y, batch_size=7)
    np.testing.assert_allclose(dense_hessian(batches), hessian, atol=1e-5)
    np.testing.assert_allclose(gradient(batches), slope, atol=1e-6)
    found, expected = sharpness(batches), sharpness(whole)
    np.testing.assert_allclose(found.eigenvalues, expected.eigenvalues, rtol=1e-5)
    part = whole.slices[whole.names.index(model.layers[-1].kernel.path)]
    last = Objective(model, x, y, variables=[model.layers[-1].kernel])
    np.testing.assert_allclose(dense_hessian(last), hessian[part, part], atol=1e-5)
    values = np.linalg.eigvalsh(hessian[part, part])
    np.testing.assert_allclose(sharpness(last).eigenvalues, values[::-1][:2], rtol=1e-4)


def test_one_weight_and_a_loss_without_curvature():
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1, use_bias=False)])
    model.compile("sgd", "mean_squared_error")
    one = sharpness(Objective(model, np.array([[3.0], [1.0]]), np.ones((2, 1))), num_eigenvalues=1)
    assert one.eigenvalues == pytest.approx([10.0]) and one.eigenvectors.tolist() == [[1.0]]
    assert one.trace == pytest.approx(10.0) and one.trace_error == 0
    model, x, y = models.sequential()
    linear = keras.Sequential([keras.Input((3,)), layers.Dense(5), layers.Dense(2)])
    linear.compile("sgd", lambda y_true, y_pred: 0 * keras.ops.sum(y_pred, axis=-1))
    flat = sharpness(Objective(linear, x, y), num_eigenvalues=3)
    assert flat.eigenvalues.tolist() == [0, 0, 0] and flat.trace == flat.trace_error == 0
    assert flat.converged and flat.num_products == 3 + 3 + 32


def test_the_result_is_kept_as_it_is():
    found = sharpness(quadratic()[0])
    assert isinstance(found, Sharpness) and found.eigenvectors.shape == (2, 15)
    with pytest.raises(ValueError, match="read-only"):
        found.eigenvalues[0] = 1
    again = sharpness(quadratic()[0], seed=0)
    assert again.num_products == found.num_products > 4


def test_an_end_without_convergence_is_told(monkeypatch):
    monkeypatch.setattr(_linalg, "MOST_PRODUCTS", 4)
    model, x, y = curved()
    objective = Objective(model, x, y)
    with pytest.warns(RuntimeWarning, match="stopped after 6 Hessian-vector products"):
        found = sharpness(objective, num_samples=0)
    assert not found.converged and found.num_products == 6
    product = hessian_vector_product(objective, found.eigenvectors).astype("float64")
    left = product - found.eigenvalues[:, None] * found.eigenvectors
    np.testing.assert_allclose(found.residuals, np.linalg.norm(left, axis=1), rtol=1e-3)


@pytest.mark.skipif(
    keras.config.backend() != "tensorflow",
    reason="JAX has float64 on request only, and Keras' losses are float32 on torch",
)
@pytest.mark.parametrize("floatx, error", [("float32", 1e-6), ("float64", 1e-13)])
def test_a_float64_model_is_as_precise_as_its_loss(floatx, error):
    before = keras.config.floatx()
    keras.config.set_floatx(floatx)
    try:
        objective = Objective(*models.double_precision())
        found = sharpness(objective, tolerance=1e-10)
        hessian = dense_hessian(objective)
    finally:
        keras.config.set_floatx(before)
    scale = np.abs(hessian).max()
    np.testing.assert_allclose(hessian, hessian.T, atol=error * scale)
    values = np.linalg.eigvalsh(hessian)[:-3:-1]
    np.testing.assert_allclose(found.eigenvalues, values, rtol=10 * error)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda o: gradient(o, [1.0, 2.0]), r"`gradient` expects `points` of shape \(..., P\)"),
        (lambda o: gradient(o, 3.0), r"P = 15, one number per weight. Received: shape \(\)"),
        (lambda o: hessian_vector_product(o, np.ones(3)), r"expects `vectors` of shape"),
        (
            lambda o: hessian_vector_product(o, np.ones(15), np.ones((2, 15))),
            r"expects `point` of shape \(P,\) with P = 15.*Received: shape \(2, 15\)",
        ),
        (lambda o: sharpness(o, np.ones(4)), r"`sharpness` expects `point` of shape \(P,\)"),
        (lambda o: sharpness(o, num_eigenvalues=16), "integer from 1 to 15, the weights"),
        (lambda o: sharpness(o, num_eigenvalues=0), "Use num_eigenvalues=1"),
        (lambda o: sharpness(o, num_eigenvalues=True), "Received: num_eigenvalues=True"),
        (lambda o: sharpness(o, num_samples=-1), "`num_samples` to be an integer >= 0"),
        (lambda o: sharpness(o, num_samples=2.5), "Received: num_samples=2.5"),
        (lambda o: sharpness(o, seed=None), "`seed` to be an integer >= 0. Received: seed=None"),
        (lambda o: sharpness(o, tolerance=0), "`tolerance` > 0. Received: tolerance=0. Use 1e-4"),
        (lambda o: sharpness(o, tolerance=np.nan), "`tolerance` > 0. Received: tolerance=nan"),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(quadratic()[0])


def test_a_hessian_that_is_not_finite_is_refused():
    model, x, y = curved()
    objective = Objective(model, x, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the backends' own, of numbers that overflow
        with pytest.raises(ValueError, match="a Hessian of finite numbers. Received: .* of 34"):
            sharpness(objective, np.full(objective.size, np.nan))
