"""Surfaces and paths that pictures are drawn of."""

import numpy as np

from keras_valleys.surfaces import Surface
from keras_valleys.trajectories import Trajectory


def rosette_surface(root=4, num=2001, start=-np.pi / 2, stop=np.pi / 2):
    """The loss of the published data over phi, without Keras."""
    r = np.random.RandomState(314).uniform(0, 1, 100)
    angles = np.linspace(0, 2 * np.pi, 6)[:-1]
    x, y = np.cos(angles)[:, None] * r, np.sin(angles)[:, None] * r
    phi = np.linspace(start, stop, num)
    errors = np.abs(np.tan(phi)[:, None, None] * x - y)
    losses = (errors ** (2 / root)).mean(axis=(1, 2))
    angle = {"periods": np.pi, "units": "rad"}
    return Surface(losses, [phi], [[1.0]], [0.0], ["phi"], f"root {root}", **angle)


def line_surface(losses=None, labels=("width",), **options):
    x = np.linspace(-2, 3, 301)
    losses = np.cos(3 * x) + 0.1 * x if losses is None else losses
    return Surface(losses, [x], [[1.0]], [0.0], labels, **options)


def plane_surface(start=-1.0):
    """A slanted bowl with its minimum at (2, -0.5), on a grid that is not square."""
    x, y = np.linspace(start, 4, 51), np.linspace(-2, 1.5, 36)
    u, v = x[:, None] - 2, y + 0.5
    return Surface(u**2 + 3 * v**2 + u * v + 1, (x, y), np.eye(2), np.zeros(2), ["slope", "bias"])


def path(weights, losses=None, label="", steps=None):
    weights = np.asarray(weights, "float64")
    weights = weights[:, None] if weights.ndim == 1 else weights
    steps = np.arange(len(weights)) if steps is None else steps
    losses = np.full(len(weights), np.nan) if losses is None else losses
    return Trajectory(steps, weights, losses, label)


PHI = path(np.linspace(0.8, -0.2, 30), label="sgd")
PLANE_PATH = path(np.linspace([0.0, 1.0], [2.0, -0.5], 20), np.linspace(9, 1, 20), "adam")
ROWS = (np.linspace(-1, 2, 9)[:, None], np.linspace(0, 5, 9)[:, None])
