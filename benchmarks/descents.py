"""A thousand descents in one loop, against `model.fit` by start, and against one start at a time.

`python benchmarks/descents.py map` also times a map of 512 x 512 starts, which takes minutes.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import sys
import time

import keras
import measure
import numpy as np

import keras_valleys as kv

NUM_STARTS, STEPS, BY_HAND, REPEATS = 1000, 100, 20, 3
NUMBERS = (4000, 8000, 16000, 32000)  # of starts, for the exponent
BACKEND = keras.config.backend()
LIMIT = 200


def angle():
    (x, y), _ = kv.datasets.rosette()
    model = keras.Sequential([keras.Input((1,)), kv.layers.AngleFit()])
    model.compile(keras.optimizers.SGD(0.05), kv.losses.RootError())
    return model, x, y


def line():
    (x, y), _ = kv.datasets.straight_line()
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), "mean_squared_error")
    return model, x, y


def fit(start):
    """What Keras users do: build, compile and fit, all steps in one epoch."""
    model, x, y = angle()
    model.set_weights([np.float32(start)])
    steps = kv.datasets.repeat(x, y, STEPS)
    model.fit(*steps, batch_size=len(x), shuffle=False, verbose=0)
    return float(kv.objectives.Objective(model, x, y).point()[0])


def one_at_a_time(objective, starts):
    """The same compiled loop with one start in it, for one start after the other."""
    from keras_valleys._optimizers import as_candidate
    from keras_valleys.descents.walks import Ground, Walker

    walker = Walker(Ground("descend", objective), as_candidate("descend", optimizer="sgd"), 1)

    def walk():
        for start in starts:
            walker(np.array([[start]]), STEPS)

    walk()  # compiles
    return walk


def descend(objective, starts, steps=STEPS):
    optimizer = objective.model.optimizer
    return kv.descents.descend(objective, optimizer, starts, steps, verbose=0)


def against_fit():
    objective = kv.objectives.Objective(*angle())
    starts = np.linspace(-1.5, 1.5, NUM_STARTS)
    chosen = starts[:: NUM_STARTS // BY_HAND][:BY_HAND]
    singly = one_at_a_time(objective, chosen)
    begin = time.perf_counter()
    descend(objective, starts)
    first = time.perf_counter() - begin
    functions = {"descend": lambda: descend(objective, starts), "one start at a time": singly}
    seconds = measure.best(measure.alternate(functions, REPEATS))
    fits = {"fit": lambda: [fit(start) for start in chosen]}
    seconds |= measure.best(measure.alternate(fits, 1))
    for name in ("one start at a time", "fit"):
        seconds[name] *= NUM_STARTS / BY_HAND
    rows = [[k, s, 1e3 * s / NUM_STARTS, s / seconds["descend"]] for k, s in seconds.items()]
    rows.append(["descend, first call", first, 1e3 * first / NUM_STARTS, first / rows[0][1]])
    header = [f"{NUM_STARTS} starts, {STEPS} steps, {BACKEND}", "s", "ms/start", "times descend"]
    measure.table(f"Least of {REPEATS}; singly from {BY_HAND} starts", header, rows)
    ratio = seconds["fit"] / seconds["descend"]
    targets = [measure.target("times faster than model.fit", ratio, LIMIT, at_least=True)]
    return targets, [dict(zip(["what", *header[1:]], row, strict=True)) for row in rows]


def exponent():
    """How the time grows with the starts: the slope in a log-log picture."""
    objective = kv.objectives.Objective(*angle())
    many = {n: np.linspace(-1.5, 1.5, n) for n in NUMBERS}
    functions = {n: lambda s=s: descend(objective, s, 4 * STEPS) for n, s in many.items()}
    functions[NUMBERS[0]]()
    seconds = measure.best(measure.alternate(functions, REPEATS))
    slope = np.polyfit(np.log(list(seconds)), np.log(list(seconds.values())), 1)[0]
    measure.table("Time by starts", ["starts", "s"], [[str(n), s] for n, s in seconds.items()])
    return [
        measure.target("exponent of time in starts", slope, 1.1),
        measure.target("exponent of time in starts", slope, 0.9, at_least=True),
    ]


def whole_map(num):
    """Minutes for the map of `num` x `num` starts of a model of two weights."""
    objective = kv.objectives.Objective(*line())
    axes = [np.linspace(-3, 5, num), np.linspace(-4, 4.5, num)]
    starts = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    begin = time.perf_counter()
    descend(objective, starts)
    minutes = (time.perf_counter() - begin) / 60
    print(f"\n{num} x {num} starts, {STEPS} steps of SGD: {minutes:.2f} minutes")
    return {"side": num, "minutes": minutes, "minutes for 512": minutes * (512 / num) ** 2}


def main():
    targets, figures = against_fit()
    targets += exponent()
    side = 512 if "map" in sys.argv[1:] else 96
    content = {"targets": targets, "figures": figures, "map": whole_map(side)}
    measure.write(f"descents_{BACKEND}", content)


if __name__ == "__main__":
    main()
