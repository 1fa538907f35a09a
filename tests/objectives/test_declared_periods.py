"""Layers declare the period and the unit of a weight; an objective hands them on."""

import math

import keras
import numpy as np
import pytest

import keras_valleys as kv

X = np.linspace(-1, 2, 6)[:, None]


@keras.saving.register_keras_serializable(package="tests_of_periods")
class Ring(keras.layers.Layer):
    """Three angles of one variable, and a plain weight."""

    def __init__(
        self, period=2 * math.pi, unit="rad", regularizer=None, constraint=None, **options
    ):
        super().__init__(**options)
        self.given = period, unit
        self.options = {"regularizer": regularizer, "constraint": constraint}

    def build(self, input_shape):
        self.angles = self.add_weight(name="angles", shape=(3,), **self.options)
        self.scale = self.add_weight(name="phi", shape=(), initializer="ones")
        self.angles.period, self.angles.unit = self.given

    def call(self, x):
        return self.scale * keras.ops.mean(keras.ops.cos(x + self.angles), axis=-1, keepdims=True)


@keras.saving.register_keras_serializable(package="tests_of_periods")
class Nest(keras.layers.Layer):
    """A layer that holds another."""

    def __init__(self, **options):
        super().__init__(**options)
        self.inner = kv.layers.AngleFit()

    def build(self, input_shape):
        self.inner.build(input_shape)

    def call(self, x):
        return self.inner(x)


def declared(model):
    model.compile(loss="mean_squared_error")
    objective = kv.objectives.Objective(model, X, X)
    return [objective.period_and_unit(k) for k in range(objective.size)]


def sequential(*layers):
    return keras.Sequential([keras.Input((1,)), *layers])


def test_of_each_weight_of_a_variable():
    angle = (2 * math.pi, "rad")
    assert declared(sequential(Ring())) == [angle] * 3 + [(None, "")]
    periods, units = [math.pi, None, 1], ["rad", "m", None]
    expected = [(math.pi, "rad"), (None, "m"), (1.0, ""), (None, "")]
    assert declared(sequential(Ring(periods, units))) == expected
    assert declared(sequential(Ring(np.array([1.0, 2.0, 3.0]), "")))[1] == (2.0, "")


def test_a_network_declares_nothing():
    assert declared(sequential(keras.layers.Dense(2), keras.layers.Dense(1))) == [(None, "")] * 7


ANGLE = (math.pi, "rad")


def test_models_within_models():
    inputs = keras.Input((1,))
    inner = sequential(kv.layers.AngleFit())
    outer = keras.Model(inputs, keras.layers.Dense(1, use_bias=False)(inner(inputs)))
    assert declared(outer) == [ANGLE, (None, "")]
    assert declared(sequential(Nest())) == [ANGLE]


def test_it_is_there_after_saving_and_cloning(tmp_path):
    model = sequential(kv.layers.AngleFit(), Nest())
    model.save(tmp_path / "model.keras")
    assert declared(keras.models.load_model(tmp_path / "model.keras")) == [ANGLE] * 2
    assert declared(keras.models.clone_model(model)) == [ANGLE] * 2
    assert declared(model) == [ANGLE] * 2
    model.fit(X, X, verbose=0)
    assert declared(model) == [ANGLE] * 2


def test_a_regularizer_has_no_period():
    layer = kv.layers.AngleFit(phi_regularizer=keras.regularizers.L2(0.1))
    assert declared(sequential(layer)) == [(None, "rad")]
    losses = kv.surfaces.evaluate(
        kv.objectives.Objective(layer_model(layer), X, X), coordinates=[0.3, 0.3 + math.pi]
    ).losses
    assert losses[1] > 1.5 * losses[0]  # and so it is


def layer_model(layer):
    model = sequential(layer)
    model.compile(loss="mean_squared_error")
    return model


def test_a_constraint_that_wraps_says_it_where_the_layer_does_not():
    wrap = kv.constraints.WrapAngle()
    assert declared(sequential(kv.layers.AngleFit(phi_constraint=wrap))) == [ANGLE]
    assert declared(sequential(Ring(None, None, constraint=wrap)))[0] == ANGLE
    assert declared(sequential(Ring(7.0, "s", constraint=wrap)))[0] == (7.0, "s")
    dense = keras.layers.Dense(1, kernel_constraint=wrap)
    assert declared(sequential(dense)) == [ANGLE, (None, "")]


@pytest.mark.parametrize(
    "period, unit",
    [(0, ""), (-1, ""), (math.inf, ""), ("pi", ""), (True, ""), ([1.0, 2.0], ""), (None, 3)],
)
def test_what_is_none_is_refused(period, unit):
    model = layer_model(sequential(Ring(period, unit)))
    objective = kv.objectives.Objective(model, X, X)
    with pytest.raises(ValueError, match="expects the `period` of a weight.*angles.*Use math.pi"):
        objective.period_and_unit(0)
