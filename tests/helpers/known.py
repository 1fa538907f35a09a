"""The known functions, and formulas of their own to compare them with."""

import math

import numpy as np

import keras_valleys as kv


def beale(x, y):
    return sum((c - x + x * y**k) ** 2 for k, c in ((1, 1.5), (2, 2.25), (3, 2.625)))


def rastrigin(x, y):
    return 20 + sum(w**2 - 10 * math.cos(2 * math.pi * w) for w in (x, y))


def oblique_valley(x, y, condition, angle):
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    hessian = turn @ np.diag([1.0, condition]) @ turn.T
    return np.array([x, y]) @ hessian @ np.array([x, y]) / 2


# A function of the package, and its formula for plain numbers.
KNOWN = {
    "rosenbrock": (
        kv.functions.rosenbrock(),
        lambda x, y: (1 - x) ** 2 + 100 * (y - x * x) ** 2,
    ),
    "low rosenbrock": (
        kv.functions.rosenbrock(b=7),
        lambda x, y: (1 - x) ** 2 + 7 * (y - x * x) ** 2,
    ),
    "beale": (kv.functions.beale(), beale),
    "himmelblau": (
        kv.functions.himmelblau(),
        lambda x, y: (x * x + y - 11) ** 2 + (x + y * y - 7) ** 2,
    ),
    "rastrigin": (kv.functions.rastrigin(), rastrigin),
    "saddle": (kv.functions.saddle(), lambda x, y: x * x - y * y),
    "oblique valley": (
        kv.functions.oblique_valley(),
        lambda x, y: oblique_valley(x, y, 100, math.pi / 6),
    ),
    "turned valley": (
        kv.functions.oblique_valley(condition=30, angle=-1.1),
        lambda x, y: oblique_valley(x, y, 30, -1.1),
    ),
    "cusp": (kv.functions.power(), lambda w: math.sqrt(abs(w))),
    "sharp cusp": (kv.functions.power(0.2), lambda w: abs(w) ** 0.2),
    "corner": (kv.functions.power(1), lambda w: abs(w)),
    "between": (kv.functions.power(1.5), lambda w: abs(w) ** 1.5),
    "parabola": (kv.functions.power(2), lambda w: w * w),
    "cubic": (kv.functions.power(3), lambda w: abs(w) ** 3),
}


def some_points(function, num=60, seed=3):
    """Random points within the limits, in numbers that float32 has."""
    low, high = function.limits.T
    points = np.random.default_rng(seed).uniform(low, high, (num, len(low)))
    return points.astype("float32").astype("float64")


def objective_of(function):
    return kv.objectives.Objective(function.build_model(), *function.data())


def descent(function, start, rate, num_steps):
    """Gradient descent in float64: the points before each step, and after the last."""
    points = [np.asarray(start, "float64")]
    for _ in range(num_steps):
        points.append(points[-1] - rate * function.gradient(points[-1]))
    return np.array(points)
