"""Surfaces of networks: against `model.evaluate` by point, NumPy, and themselves at other sizes."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import json
import subprocess
import sys
import time

import keras
import measure
import numpy as np
from keras import layers

import keras_valleys as kv

GRID = (21, 21)
REPEATS = 5
BACKEND = keras.config.backend()
LIMITS = {  # times faster than evaluate, at least
    ("tensorflow", "MLP", "default"): 250,
    ("tensorflow", "MLP", "full"): 100,
    ("tensorflow", "CNN", "full"): 5,
    ("jax", "MLP", "full"): 5,
}
PRODUCTS_LIMIT, MEMORY_LIMIT = 3, 64  # times NumPy's matrix products; MB


def mlp(num_rows=2000):
    """64-32-32-10, as in comparisons of other tools."""
    model = keras.Sequential(
        [keras.Input((64,)), *(layers.Dense(32, "relu") for _ in range(2)), layers.Dense(10)]
    )
    return _with_data(model, (num_rows, 64))


def cnn(num_rows=256):
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(8, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(16, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(10),
        ]
    )
    return _with_data(model, (num_rows, 28, 28, 1))


def _with_data(model, shape):
    random = np.random.default_rng(3)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x = random.normal(size=shape).astype("float32")
    return model, x, random.integers(0, 10, len(x))


def surface_of(objective, grid=GRID):
    directions = kv.directions.random(objective, 2, seed=5)
    axes = [np.linspace(-1, 0.8 + 0.1 * axis, n) for axis, n in enumerate(grid)]
    return kv.surfaces.evaluate(objective, directions, coordinates=axes, verbose=0)


def by_hand(model, data, weights, batch_size):
    """What Keras users do: set the weights and evaluate."""
    losses = []
    for arrays in weights:
        model.set_weights(arrays)
        losses.append(model.evaluate(*data, batch_size=batch_size, verbose=0))
    return losses


def compare(name, make, num_by_hand):
    """Seconds for the whole grid, each way; evaluate is scaled up from a few points."""
    model, x, y = make()
    objective = kv.objectives.Objective(model, x, y)
    origin = objective.point()
    surface = surface_of(objective)
    flat = np.stack(np.meshgrid(*surface.coordinates, indexing="ij"), -1).reshape(-1, 2)
    chosen = np.linspace(0, len(flat) - 1, num_by_hand).astype(int)
    points = (origin + flat[chosen] @ surface.directions).astype("float32")
    weights = [objective.split(point) for point in points]
    expected = by_hand(model, (x, y), weights, len(x))
    difference = np.max(np.abs(surface.losses.reshape(-1)[chosen] / expected - 1))
    by_hand(model, (x, y), weights[:2], None)
    model.set_weights(objective.split(origin))
    batch_sizes = {"full": len(x), "default": None}
    functions = {"surface": lambda: surface_of(objective)}
    functions |= {
        kind: lambda size=size: by_hand(model, (x, y), weights, size)
        for kind, size in batch_sizes.items()
    }
    if name == "MLP":
        kernels = [array for array in objective.split(origin) if array.ndim == 2]
        functions["products"] = lambda: products(x, kernels, len(flat))
    samples = measure.best(measure.alternate(functions, REPEATS))
    for kind in batch_sizes:
        samples[kind] *= len(flat) / num_by_hand
    rows = [[k, s, 1000 * s / len(flat), s / samples["surface"]] for k, s in samples.items()]
    header = [f"{name}, {len(flat)} points, {BACKEND}", "s", "ms/point", "times the surface"]
    measure.table(f"Least of {REPEATS}; evaluate from {num_by_hand} points", header, rows)
    print(f"Largest relative difference from evaluate: {difference:.1e}")
    targets = [
        measure.target(
            f"{name}: faster than evaluate, {kind}",
            samples[kind] / samples["surface"],
            LIMITS.get((BACKEND, name, kind), 1),
            at_least=True,
        )
        for kind in batch_sizes
    ]
    if "products" in samples and BACKEND == "tensorflow":
        ratio = samples["surface"] / samples["products"]
        targets.append(measure.target("MLP: times NumPy's products", ratio, PRODUCTS_LIMIT))
    figures = [dict(zip(["what", *header[1:]], row, strict=True)) for row in rows]
    return targets, {"name": name, "difference": difference, "figures": figures}


def products(x, weights, num_points):
    """Only the matrix products of as many evaluations."""
    for _ in range(num_points):
        values = x
        for kernel in weights:
            values = values @ kernel


def exponents():
    """How the time grows with points and with rows: the slope in a log-log picture."""
    model, x, y = mlp(16000)
    objective = kv.objectives.Objective(model, x[:2000], y[:2000])
    numbers = [(15, 16), (30, 32), (60, 64)]
    functions = {n[0] * n[1]: lambda n=n: surface_of(objective, n) for n in numbers}
    by_points = _slope(functions)
    rows = [2000, 4000, 8000, 16000]
    objectives = {n: kv.objectives.Objective(model, x[:n], y[:n]) for n in rows}
    by_rows = _slope({n: lambda o=o: surface_of(o, (9, 10)) for n, o in objectives.items()})
    return {"points": by_points, "rows": by_rows}


def _slope(functions):
    for function in functions.values():
        function()
    seconds = measure.best(measure.alternate(functions, REPEATS))
    return float(np.polyfit(np.log(list(seconds)), np.log(list(seconds.values())), 1)[0])


def memory():
    """Megabytes that a surface takes, by its number of points, each in a process of its own."""
    grown = {}
    for grid in [(10, 10), (30, 34), (100, 100), (310, 323)]:
        code = f"import networks; networks.grow({grid})"
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            cwd=os.path.dirname(os.path.abspath(__file__)),
        )
        grown[grid[0] * grid[1]] = json.loads(done.stdout.splitlines()[-1])
    return grown


def grow(grid):
    """Print by how many megabytes the peak grows for a grid, once a small one has compiled all."""
    import resource

    model, x, y = mlp(100)
    objective = kv.objectives.Objective(model, x, y)
    surface_of(objective, (9, 10))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    surface_of(objective, grid)
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


def main():
    start = time.perf_counter()
    targets, networks = [], []
    for name, make, count in [("MLP", mlp, 12), ("CNN", cnn, 12)]:
        found, figures = compare(name, make, count)
        targets, networks = targets + found, [*networks, figures]
    slopes, grown = exponents(), memory()
    for what, slope in slopes.items():
        targets.append(measure.target(f"exponent of time in {what}", slope, 1.1))
        targets.append(measure.target(f"exponent of time in {what}", slope, 0.9, at_least=True))
    measure.table("Peak memory", ["points", "MB more"], [[str(n), mb] for n, mb in grown.items()])
    targets.append(measure.target("MB more for the most points", max(grown.values()), MEMORY_LIMIT))
    content = {"targets": targets, "networks": networks, "exponents": slopes, "memory_mb": grown}
    print(f"{time.perf_counter() - start:.0f} s in all")
    measure.write(f"networks_{BACKEND}", content)


if __name__ == "__main__":
    main()
