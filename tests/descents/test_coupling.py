"""Optimizers that couple weights are refused, where they do."""

import keras
import numpy as np
import pytest
from keras import optimizers

from helpers.starts import (
    CLASSES,
    COUPLING,
    STEPS,
    angle,
    check_against_fit,
    fitted,
    network,
    objective_of,
    starts_of,
)
from keras_valleys.descents import descend


@keras.saving.register_keras_serializable(package="keras_valleys_tests")
class Normalized(optimizers.Optimizer):
    """The gradient of each variable over its norm: a coupling of one's own."""

    def update_step(self, gradient, variable, learning_rate):
        norm = keras.ops.sqrt(keras.ops.sum(keras.ops.square(gradient)))
        self.assign_sub(variable, learning_rate * gradient / norm)


@keras.saving.register_keras_serializable(package="keras_valleys_tests")
class Signs(optimizers.Optimizer):
    """One of one's own that takes each weight by itself."""

    def update_step(self, gradient, variable, learning_rate):
        self.assign_sub(variable, learning_rate * keras.ops.sign(gradient))


COUPLERS = {name: lambda c=CLASSES[name]: c(0.02) for name in sorted(COUPLING)}
COUPLERS |= {
    "clipnorm": lambda: optimizers.SGD(0.02, clipnorm=0.1),
    "clipnorm of small steps": lambda: optimizers.Adam(1e-7, clipnorm=1.0),
    "global_clipnorm": lambda: optimizers.Adam(0.02, global_clipnorm=0.1),
    "clipnorm, accumulated": lambda: optimizers.SGD(
        0.02, clipnorm=50.0, gradient_accumulation_steps=7
    ),
    "dynamic loss scale": lambda: optimizers.LossScaleOptimizer(optimizers.SGD(0.02)),
    "one's own": lambda: Normalized(0.02),
}
CASES = [(network, form) for form in COUPLERS] + [(angle, f) for f in ("Adafactor", "clipnorm")]


@pytest.mark.parametrize("make, form", CASES)
def test_an_optimizer_that_couples_weights_is_refused(make, form):
    objective = objective_of(make)
    with pytest.raises(ValueError, match="updates each weight by itself.*model.fit") as caught:
        descend(objective, COUPLERS[form](), starts_of(objective, 3), 5)
    assert ("clipvalue" in str(caught.value)) == ("clipnorm" in form)


def test_for_one_start_of_one_weight_norms_couple_nothing():
    objective = objective_of(angle)
    start = np.array([[0.6]])
    for form in (COUPLERS["clipnorm"], COUPLERS["Adafactor"], COUPLERS["dynamic loss scale"]):
        found = descend(objective, form(), start, STEPS, paths=True)
        path, _ = fitted(angle, form(), start[0])
        np.testing.assert_allclose(found.paths[:, 0], path, rtol=1e-4)
    with pytest.raises(ValueError, match="Muon, under which in one variable it does not go"):
        descend(objective, COUPLERS["Muon"](), start, 3)
    for form in ("clipnorm", "Lamb"):  # of several variables they do
        with pytest.raises(ValueError, match="in one variable"):
            descend(objective_of(network), COUPLERS[form](), np.zeros((1, 17)) + 0.1, 3)


def test_an_optimizer_of_ones_own():
    check_against_fit(network, lambda: Signs(0.02))


def test_weight_decay_that_leaves_out_variables_is_refused():
    objective = objective_of(network)
    optimizer = optimizers.AdamW(0.02)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    with pytest.raises(ValueError, match="weight decay of all weights.*regularizer"):
        descend(objective, optimizer, starts_of(objective, 2), 3)
