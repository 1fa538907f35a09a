"""Surfaces whose valleys are known, and paths on them."""

import numpy as np

import keras_valleys as kv
from helpers.lines import rosette_model
from keras_valleys.surfaces import Surface


def curve(losses, x=None):
    x = np.arange(len(losses)) if x is None else x
    return Surface(np.asarray(losses, float), [x], [[1.0]], [0.0])


def rosette_surface(root):
    """Over all rows, as the source's figures are."""
    (x, y), _ = kv.datasets.rosette(test_fraction=0)
    model = rosette_model(loss=kv.losses.RootError(root))
    phi = np.linspace(-np.pi / 2, np.pi / 2, 2001)
    return kv.surfaces.evaluate(kv.objectives.Objective(model, x, y), coordinates=phi)


def plane(function, x, y, **options):
    return Surface(function(x[:, None], y[None, :]), [x, y], np.eye(2), np.zeros(2), **options)


def himmelblau(x, y):
    return (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2


X, Y = np.linspace(-5.1, 5.3, 417), np.linspace(-6, 5.2, 338)
