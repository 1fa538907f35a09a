"""What is differentiated is what is evaluated, or it is refused."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_valleys as kv

BACKEND = keras.config.backend()
on_torch = pytest.mark.skipif(BACKEND != "torch", reason="needs torch")


def data(shape=(3,), targets=(1,)):
    random = np.random.RandomState(2)
    return random.normal(size=(19, *shape)), random.normal(size=(19, *targets))


def objective_of(*parts, shape=(3,), targets=(1,), loss="mean_squared_error", **options):
    model = keras.Sequential([keras.Input(shape), *parts])
    model.compile("sgd", loss)
    return kv.objectives.Objective(model, *data(shape, targets), **options)


def difference(objective, point, step=1e-2):
    """The slope along some direction, by differences, and the direction."""
    direction = np.random.RandomState(1).normal(size=objective.size)
    high, low = objective(point + step * direction), objective(point - step * direction)
    return float(high - low) / (2 * step), direction


def check_slope(objective, point, rel=2e-2):
    slope, direction = difference(objective, point)
    assert kv.gradients.gradient(objective, point) @ direction == pytest.approx(slope, rel=rel)


def dense_hessian(objective, point):
    return kv.gradients.hessian_vector_product(objective, np.eye(objective.size), point)


class Kept(layers.Layer):
    """A factor that is a number for the gradient."""

    def call(self, x):
        return x * ops.stop_gradient(1 + ops.mean(ops.square(x)))


@pytest.mark.parametrize("point", ["own", "other"])
def test_a_gradient_that_is_not_the_slope_is_refused(point):
    made = objective_of(layers.Dense(2, "tanh"), Kept(), layers.Dense(1))
    where = np.linspace(-1, 1, made.size)
    if point == "own":
        made.model.set_weights(made.split(where))
        where = None
    for _ in range(2):  # a refusal is no pass for the next call
        with pytest.raises(ValueError, match="whose gradient, .*stop_gradient"):
            kv.gradients.gradient(made, where)
    with pytest.raises(ValueError, match="`sharpness` expects a loss whose gradient"):
        kv.gradients.sharpness(made, where)


@pytest.mark.parametrize("activation", ["relu", "tanh", "hard_sigmoid"])
@pytest.mark.parametrize("loss", ["mean_squared_error", "mean_absolute_error", "hinge"])
@pytest.mark.parametrize("size", [1, 50])
def test_kinks_are_no_reason_to_refuse(activation, loss, size):
    made = objective_of(layers.Dense(size, activation), layers.Dense(1), loss=loss)
    for point in (made.point(), 0 * made.point(), 100 * made.point()):
        assert np.all(np.isfinite(kv.gradients.gradient(made, point)))


@pytest.mark.parametrize("phi", [0.0, np.pi / 5, 0.63, 1.2566, 1.5707])
def test_neither_are_cusps_and_poles(phi):
    model = keras.Sequential([keras.Input((1,)), kv.layers.AngleFit()])
    model.compile(loss=kv.losses.RootError(root=4))
    made = kv.objectives.Objective(model, *kv.datasets.rosette()[0])
    assert kv.gradients.gradient(made, [phi]).shape == (1,)


def test_a_loss_that_is_not_finite_or_flat_is_not_refused():
    made = objective_of(layers.Dense(1))
    assert np.all(np.isnan(kv.gradients.gradient(made, np.full(made.size, np.nan))))
    flat = objective_of(layers.Dense(1, "relu", bias_initializer=keras.initializers.Constant(-99)))
    assert not kv.gradients.gradient(flat).any()
    assert not dense_hessian(flat, flat.point()).any()


@pytest.mark.skipif(BACKEND != "tensorflow", reason="JAX and torch differentiate it twice")
@pytest.mark.parametrize(
    "parts",
    [
        [layers.UpSampling2D(2, interpolation="bilinear"), layers.Conv2D(1, 2), layers.Flatten()],
        [layers.Resizing(5, 4), layers.Flatten(), layers.Dense(1)],
        [layers.Resizing(1, 1), layers.Flatten()],  # the whole product is zero
    ],
)
def test_a_second_derivative_that_tensorflow_lacks_is_refused(parts):
    made = objective_of(
        layers.Conv2D(1, 2, activation="tanh"), *parts, layers.Dense(1), shape=(4, 3, 2)
    )
    check_slope(made, made.point() + 0.1)
    with pytest.raises(ValueError, match="differentiate twice.*interpolation='nearest'"):
        kv.gradients.sharpness(made)
    with pytest.raises(ValueError, match="differentiate twice"):
        kv.gradients.hessian_vector_product(made, np.ones(made.size))
    with pytest.raises(ValueError, match="differentiate twice"):
        kv.directions.hessian(made)


@pytest.mark.skipif(BACKEND == "tensorflow", reason="TensorFlow lacks it")
def test_bilinear_layers_are_differentiated_twice():
    made = objective_of(
        layers.Conv2D(1, 2, activation="tanh"),
        layers.UpSampling2D(2, interpolation="bilinear"),
        layers.Flatten(),
        layers.Dense(1),
        shape=(3, 3, 1),
    )
    hessian = dense_hessian(made, made.point())
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-4 * np.abs(hessian).max())


def test_a_linear_loss_has_no_curvature():
    def mean(y_true, y_pred):
        return ops.mean(y_pred, axis=-1)

    made = objective_of(layers.Dense(1), loss=mean)
    assert not dense_hessian(made, made.point()).any()


def test_layers_that_run_again_in_the_backward_pass():
    """`keras.remat` and `RematScope`, at the model's weights and away from them."""

    class Remat(layers.Layer):
        def build(self, shape):
            self.kernel = self.add_weight(shape=(shape[-1], 4), initializer="ones")

        def call(self, x):
            return keras.remat(lambda x: ops.tanh(ops.matmul(x, self.kernel)))(x)

    with keras.RematScope(mode="full"):
        scoped = layers.Dense(4, "tanh")
    plain = objective_of(layers.Dense(4, "tanh", use_bias=False), layers.Dense(1))
    for part in (Remat(), scoped):
        made = objective_of(part, layers.Dense(1))
        point = made.point() + np.linspace(-0.5, 0.7, made.size)
        check_slope(made, point)
        vectors = np.random.RandomState(1).normal(size=(2, made.size))
        one, other = kv.gradients.hessian_vector_product(made, vectors, point)
        assert one @ vectors[1] == pytest.approx(other @ vectors[0], rel=1e-3)
    made = objective_of(Remat(), layers.Dense(1))
    point = np.linspace(-0.5, 0.7, made.size)
    expected = kv.gradients.gradient(plain, point)
    np.testing.assert_allclose(kv.gradients.gradient(made, point), expected, rtol=1e-4, atol=1e-5)
    starts = [kv.descents.descend(o, "sgd", point[None], 5).weights for o in (made, plain)]
    np.testing.assert_allclose(starts[0], starts[1], rtol=1e-4, atol=1e-5)


@on_torch
@pytest.mark.parametrize("made_within", [True, False])
def test_inference_mode_does_not_stop_derivatives(made_within):
    import torch

    expected = objective_of(layers.Dense(4, "tanh"), layers.Dense(1))
    weights = np.linspace(-1, 1, expected.size)
    if made_within:
        with torch.inference_mode():
            made = objective_of(layers.Dense(4, "tanh"), layers.Dense(1))
    else:
        made = objective_of(layers.Dense(4, "tanh"), layers.Dense(1))
    for within in (True, False):
        with torch.inference_mode(within):
            slope = kv.gradients.gradient(made, weights)
            values = kv.gradients.sharpness(made, weights).eigenvalues
            end = kv.descents.descend(made, "sgd", weights[None], 5).weights
        np.testing.assert_allclose(slope, kv.gradients.gradient(expected, weights), rtol=1e-5)
        np.testing.assert_allclose(
            values, kv.gradients.sharpness(expected, weights).eigenvalues, rtol=1e-3
        )
        np.testing.assert_allclose(
            end, kv.descents.descend(expected, "sgd", weights[None], 5).weights, rtol=1e-5
        )
