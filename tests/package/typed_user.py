"""The public names as a user calls them, for the type checker only: nothing of this is run."""

from typing import assert_type

import numpy as np

import keras_valleys as kv

surface = kv.surfaces.Surface([4.0, 1.0], [[0.0, 1.0]], [[1.0]], [0.0], ["x"])
surface.save("surface.npz")
assert_type(kv.surfaces.Surface.load("surface.npz"), kv.surfaces.Surface)
assert_type(surface.losses, np.ndarray)
assert_type(surface == 3, bool)
