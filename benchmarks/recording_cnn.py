"""What TrajectoryRecorder adds to `model.fit` of a small CNN with BatchNormalization."""

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


def new_model():
    model = keras.Sequential(
        [
            keras.Input((16, 16, 1)),
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


def main():
    random = np.random.default_rng(0)
    x = random.normal(size=(NUM_STEPS * BATCH, 16, 16, 1)).astype("float32")
    y = random.integers(0, 10, len(x))
    model = new_model()

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
    header = [f"{NUM_STEPS} steps", "ms", "CPU ms"]
    measure.table(f"Median of {REPEATS}, in turn", header, rows)
    targets = [measure.target("recorder / bare, median of pairs", paired, LIMIT)]
    figures = [dict(zip(["what", *header[1:]], row, strict=True)) for row in rows]
    measure.write("recording_cnn", {"targets": targets, "fits": figures})


if __name__ == "__main__":
    main()
