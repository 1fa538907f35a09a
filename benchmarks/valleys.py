"""`find_valleys` on planes of known functions, against steepest descent from sample to sample.

That is what a watershed by hand costs in NumPy, without depths, saddles and places; `find_valleys`
adds these, minima between the samples, their errors, and the basins of gradient flow.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import itertools
import math
import statistics

import measure
import numpy as np

import keras_valleys as kv

NUMBERS, REPEATS, LARGEST = (61, 121, 241, 401), 7, 10


def camel(points):
    x, y = points[..., 0], points[..., 1]
    return (4 - 2.1 * x**2 + x**4 / 3) * x**2 + x * y + (4 * y**2 - 4) * y**2


FUNCTIONS = {
    "Himmelblau": (kv.functions.himmelblau(), [(-5, 5), (-5.1, 5)]),
    "six-hump camel": (camel, [(-2.1, 2.2), (-1.3, 1.1)]),
    "Rosenbrock": (kv.functions.rosenbrock(), [(-2, 2), (-1, 3)]),
    "Rastrigin": (kv.functions.rastrigin(), [(-5.4, 5.3), (-3.3, 4.4)]),
}


def surface_of(losses, axes):
    return kv.surfaces.Surface(losses.astype("float32"), axes, np.eye(2), np.zeros(2))


def sampled(function, limits, num):
    pairs = zip(limits, (num, num - 6), strict=True)
    axes = [np.linspace(*limit, count) for limit, count in pairs]
    return surface_of(function(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)), axes)


def by_hand(losses):
    """The lowest sample that steepest descent over the eight neighbors ends at, for each sample."""
    padded = np.pad(losses, 1, constant_values=np.inf)
    index = np.pad(np.arange(losses.size).reshape(losses.shape), 1)
    best, target = np.zeros(losses.shape), index[1:-1, 1:-1].copy()
    n, m = losses.shape
    for a, b in itertools.product((-1, 0, 1), repeat=2):
        if a or b:
            window = slice(1 + a, 1 + a + n), slice(1 + b, 1 + b + m)
            slope = (losses - padded[window]) / math.hypot(a, b)
            steeper = slope > best
            best[steeper], target[steeper] = slope[steeper], index[window][steeper]
    target = target.ravel()
    while not np.array_equal(further := target[target], target):
        target = further
    return target.reshape(losses.shape)


def main():
    rows = []
    for name, (function, limits) in FUNCTIONS.items():
        for num in NUMBERS:
            surface = sampled(function, limits, num)
            functions = {
                "valleys": lambda surface=surface: kv.valleys.find_valleys(surface),
                "by hand": lambda surface=surface: by_hand(surface.losses),
            }
            samples = measure.alternate(functions, REPEATS)
            pairs = zip(samples["valleys"]["wall"], samples["by hand"]["wall"], strict=True)
            ratio = statistics.median(a / b for a, b in pairs)
            best = measure.best(samples)
            rows.append([f"{name}, {num}", 1000 * best["valleys"], 1000 * best["by hand"], ratio])
    noise = surface_of(np.random.default_rng(0).normal(size=(1000, 1000)), [np.arange(1000)] * 2)
    samples = measure.alternate({"noise": lambda: kv.valleys.find_valleys(noise)}, 1)
    seconds = measure.best(samples)["noise"]
    measure.table(f"Median of {REPEATS}, in turn", ["plane", "ms", "by hand ms", "times"], rows)
    targets = [measure.target("1000 x 1000 of noise, seconds", seconds, LARGEST)]
    measure.write("valleys", {"targets": targets, "figures": rows})


if __name__ == "__main__":
    main()
