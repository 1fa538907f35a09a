"""A bowl over a line or a plane among five weights, and runs beside it."""

import numpy as np

from keras_valleys.surfaces import Surface
from keras_valleys.trajectories import Trajectory

SIZE = 5
X, Y = np.linspace(-1, 4, 51), np.linspace(-2, 1.5, 36)


def bowl(u, v):
    return (u - 2) ** 2 + 3 * (v + 0.5) ** 2 + (u - 2) * (v + 0.5) + 1


LOSSES = bowl(X[:, None], Y)


def plane(losses=LOSSES, size=SIZE, labels=("slope", "bias"), name="loss"):
    return Surface(losses, (X, Y), np.eye(2, size), np.zeros(size), labels, name)


def line(size=SIZE):
    return Surface(LOSSES[:, 20], [X], np.eye(1, size), np.zeros(size), ["slope"])


def run(seed=0, label="adam", num=20, size=SIZE, losses=None):
    random = np.random.RandomState(seed)
    weights = 0.1 * random.normal(size=(num, size))
    weights[:, :2] += np.linspace([0.2, 1.0], [2.0, -0.5], num)
    losses = bowl(*weights[:, :2].T) + weights[:, 2] if losses is None else losses
    return Trajectory(range(num), weights, losses, label)
