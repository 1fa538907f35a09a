"""The rosette's surface of 2001 points in one compiled call, against `model.evaluate` by point."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import time

import keras
import measure
import numpy as np

import keras_valleys as kv

NUM_POINTS, BY_HAND, REPEATS, LIMIT = 2001, 20, 5, 500


def timed(function):
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def main():
    (x, y), _ = kv.datasets.rosette()
    model = keras.Sequential([keras.Input((1,)), kv.layers.AngleFit()])
    model.compile("sgd", kv.losses.RootError())
    phi = np.linspace(-np.pi / 2, np.pi / 2, NUM_POINTS)
    objective = kv.objectives.Objective(model, x, y)

    def surface():
        return kv.surfaces.evaluate(objective, coordinates=phi)

    def by_hand(batch_size):
        losses = []
        for value in phi[:: NUM_POINTS // BY_HAND][:BY_HAND]:
            model.set_weights([np.float32(value)])
            losses.append(model.evaluate(x, y, batch_size=batch_size, verbose=0))
        return losses

    first, sampled = timed(surface)
    functions = {
        "surface": surface,
        "default batch size": lambda: by_hand(None),
        "batch_size=N": lambda: by_hand(len(x)),
    }
    expected = by_hand(len(x))  # traces, and tells whether both mean the same
    by_hand(None)
    difference = np.abs(sampled.losses[:: NUM_POINTS // BY_HAND][:BY_HAND] - expected).max()
    samples = measure.alternate(functions, REPEATS)
    scale = {name: 1 if name == "surface" else NUM_POINTS / BY_HAND for name in functions}
    wall = {name: scale[name] * value for name, value in measure.best(samples).items()}
    cpu = {name: scale[name] * value for name, value in measure.best(samples, "cpu").items()}
    backend = keras.config.backend()
    rows = [
        [name, wall[name], cpu[name], 1000 * wall[name] / NUM_POINTS, wall[name] / wall["surface"]]
        for name in functions
    ]
    rows.append(["surface, first call", first, "", 1000 * first / NUM_POINTS, ""])
    header = [f"{NUM_POINTS} points, {backend}", "s", "CPU s", "ms/point", "times slower"]
    measure.table(
        f"Least of {REPEATS}, in turn; evaluate scaled up from {BY_HAND} points", header, rows
    )
    print(f"Largest difference: {difference:.1e}")
    faster = wall["default batch size"] / wall["surface"]
    targets = [measure.target(f"{backend}: times faster", faster, LIMIT, at_least=True)]
    figures = [dict(zip(["what", *header[1:]], row, strict=True)) for row in rows]
    content = {"targets": targets, "difference": difference, "figures": figures}
    measure.write(f"surface_{backend}", content)


if __name__ == "__main__":
    main()
