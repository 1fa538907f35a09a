"""What TrajectoryRecorder adds to `model.fit` of a small CNN with BatchNormalization.

On pictures of 28 x 28, as of MNIST, which are what the target is for, and of 16 x 16.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import statistics

import keras
import measure
import numpy as np
from keras import layers
from recording import Clock

import keras_valleys as kv

NUM_STEPS, BATCH, REPEATS, LIMIT = 100, 32, 21, 1.1
SIDES = 28, 16


def new_model(side):
    model = keras.Sequential(
        [
            keras.Input((side, side, 1)),
            layers.Conv2D(16, 3, use_bias=False),
            layers.BatchNormalization(),
            layers.Activation("relu"),
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


def paired_ratio(side):
    """Prints a table; the median of recorder / bare, and the fits."""
    random = np.random.default_rng(0)
    x = random.normal(size=(NUM_STEPS * BATCH, side, side, 1)).astype("float32")
    y = random.integers(0, 10, len(x))
    model = new_model(side)

    def fit(make_callbacks):
        clock = Clock()
        model.fit(x, y, batch_size=BATCH, verbose=0, callbacks=[*make_callbacks(), clock])
        return dict(zip(("wall", "cpu"), np.subtract(clock.stop, clock.start), strict=True))

    kinds = {"bare": list, "recorder": lambda: [kv.callbacks.TrajectoryRecorder()]}
    functions = {name: lambda kind=kind: fit(kind) for name, kind in kinds.items()}
    measure.alternate(functions, 1)  # traces
    samples = measure.alternate(functions, REPEATS)
    pairs = zip(samples["recorder"]["wall"], samples["bare"]["wall"], strict=True)
    paired = statistics.median(a / b for a, b in pairs)
    wall, cpu = measure.median(samples), measure.median(samples, "cpu")
    rows = [[name, 1000 * wall[name], 1000 * cpu[name]] for name in functions]
    header = [f"{NUM_STEPS} steps, {side} x {side}", "ms", "CPU ms"]
    measure.table(f"Median of {REPEATS}, in turn; paired ratio {paired:.2f}", header, rows)
    return paired, [dict(zip(["what", *header[1:]], row, strict=True)) for row in rows]


def main():
    ratios, fits = zip(*map(paired_ratio, SIDES), strict=True)
    targets = [measure.target(f"recorder / bare, {SIDES[0]} pixels wide", ratios[0], LIMIT)]
    found = {f"{side} x {side}": fit for side, fit in zip(SIDES, fits, strict=True)}
    measure.write("recording_cnn", {"targets": targets, "fits": found, "ratios": ratios})


if __name__ == "__main__":
    main()
