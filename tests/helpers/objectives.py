"""Small models, objectives of them, and points where they are asked."""

import keras
import numpy as np

import keras_valleys as kv
from helpers.lines import rosette_model
from keras_valleys.objectives import Objective


def rosette_objective(**options):
    (x, y), _ = kv.datasets.rosette()
    return Objective(rosette_model(), x, y, **options)


def some_points(objective, count=3):
    noise = np.random.RandomState(8).normal(size=(count, objective.size))
    return (objective.point() + 0.2 * noise).astype(objective.dtype)


def objective_of(make, seed=3, **options):
    keras.utils.set_random_seed(seed)
    return Objective(*make(), **options)


def part_of(objective, name, vector):
    (k,) = [k for k, path in enumerate(objective.names) if path.rsplit("/", 1)[-1] == name]
    return vector[objective.slices[k]].reshape(objective.shapes[k])


def small_model(seed=3):
    keras.utils.set_random_seed(seed)
    layers = [keras.layers.Dense(3, "tanh"), keras.layers.BatchNormalization()]
    model = keras.Sequential([keras.Input((2,)), *layers, keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.05), "mean_squared_error", metrics=["mae"])
    return model


def small_data():
    x = np.random.RandomState(2).normal(size=(19, 2)).astype("float32")
    return x, (x[:, :1] - 2 * x[:, 1:]).astype("float32")
