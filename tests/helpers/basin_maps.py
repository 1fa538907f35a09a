"""What maps of basins share: starts, and what is known to have several valleys."""

import keras
import numpy as np
from keras import layers, optimizers

import keras_valleys as kv
from keras_valleys.descents import basin_map

STARTS = np.radians(np.linspace(-84, 79, 14))
RATES = [0.002, 0.02]


def rosette():
    """One weight, five valleys on a ring."""
    (x, y), _ = kv.datasets.rosette(num_points=20)
    model = keras.Sequential([keras.Input((1,)), kv.layers.AngleFit()])
    model.compile("sgd", kv.losses.RootError())
    objective = kv.objectives.Objective(model, x, y)
    phi = np.linspace(-np.pi / 2, np.pi / 2, 2001)
    surface = kv.surfaces.evaluate(objective, coordinates=phi)
    return objective, kv.valleys.find_valleys(surface, periodic=np.pi)


def waves():
    """Two weights, several valleys: a wave with frequency and phase."""
    x = np.linspace(-3, 4, 30)[:, None]
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1, activation=keras.ops.sin)])
    model.compile("sgd", "mean_squared_error")
    objective = kv.objectives.Objective(model, x, np.sin(1.3 * x + 0.7))
    axes = [np.linspace(-3.1, 3.4, 41), np.linspace(-3.6, 4.1, 37)]
    surface = kv.surfaces.evaluate(objective, coordinates=axes)
    return objective, kv.valleys.find_valleys(surface, persistence=0.01)


def by_start(objective, valleys):
    makes = {"plain": optimizers.SGD(0.02), "adam": "adam", "plain again": optimizers.SGD(0.02)}
    return basin_map(objective, makes, STARTS, 25, valleys)


def by_rate(objective, valleys):
    return basin_map(objective, optimizers.SGD(0.7), STARTS, 25, valleys, learning_rates=RATES)
