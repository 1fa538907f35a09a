"""What `SurfaceBoard(data=...)` adds to a `model.fit`, against its `budget`.

A CNN with BatchNormalization and Dropout, in turn with the bare fit, with a recorder, which reads
the weights before each step as well, and with a board that has no surface. The argument is about
how many seconds a bare fit takes.
"""

import os
import statistics
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import measure
import numpy as np
from keras import layers

import keras_valleys as kv

ROWS, BUDGET, LIMIT = 3000, 0.1, 1.5
SECONDS, REPEATS = 40.0, 3


def new_model():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(16, 3, use_bias=False),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, use_bias=False),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dropout(0.2),
            layers.Dense(10),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(), loss, metrics=["accuracy"])
    return model


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    random = np.random.default_rng(0)
    x = random.normal(size=(ROWS, 28, 28, 1)).astype("float32")
    y = random.integers(0, 10, ROWS)
    new_model().fit(x, y, batch_size=32, verbose=0)  # imports and traces
    begin = time.perf_counter()
    new_model().fit(x, y, batch_size=32, epochs=2, verbose=0)
    epochs = max(1, round(2 * seconds / (time.perf_counter() - begin)))

    def fit(make):
        with tempfile.TemporaryDirectory() as folder:
            new_model().fit(x, y, batch_size=32, epochs=epochs, verbose=0, callbacks=make(folder))

    kinds = {
        "bare": lambda folder: [],
        "board without a surface": lambda folder: [kv.callbacks.SurfaceBoard(f"{folder}/run")],
        "recorder": lambda folder: [kv.callbacks.TrajectoryRecorder()],
        "board with data": lambda folder: [
            kv.callbacks.SurfaceBoard(f"{folder}/run", data=(x, y), budget=BUDGET)
        ],
    }
    functions = {name: lambda kind=kind: fit(kind) for name, kind in kinds.items()}
    samples = measure.alternate(functions, REPEATS)

    def added(name, other):
        pairs = zip(samples[name]["wall"], samples[other]["wall"], strict=True)
        return statistics.median(a / b for a, b in pairs) - 1

    wall = measure.median(samples)
    rows = [[name, wall[name], 100 * added(name, "bare")] for name in functions]
    header = [f"{epochs} epochs, {keras.backend.backend()}", "s", "% added"]
    measure.table(f"Median of {REPEATS}, in turn", header, rows)
    share = (wall["board with data"] - wall["recorder"]) / wall["bare"]
    targets = [measure.target("share of fit beside reading, of the budget", share / BUDGET, LIMIT)]
    found = [dict(zip(["what", *header[1:]], row, strict=True)) for row in rows]
    name = f"own_plane_{keras.backend.backend()}"
    measure.write(name, {"targets": targets, "fits": found, "budget": BUDGET})


if __name__ == "__main__":
    main()
