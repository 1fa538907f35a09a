"""What TrajectoryRecorder and SurfaceBoard add to `model.fit`, on the published run's model."""

import contextlib
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pathlib
import tempfile
import time

import keras
import measure
import numpy as np

import keras_valleys as kv

NUM_STEPS, REPEATS, LIMIT = 1000, 21, 1.3
PARTS = {  # of the board, and the methods that make them
    "first picture": "_draw",
    "animation": "_animation",
    "report": "_report",
    "hyperparameters": "_hyperparameters",
}


class Clock(keras.callbacks.Callback):
    """The time up to the end of training, after what the other callbacks do last.

    That is when Keras' `History` ends: then the board reads the model after fit. What follows in
    `fit` is TensorFlow's clearing up, which now and then takes 1.3 or 2.6 s with idle processors,
    with callbacks or without.
    """

    def __init__(self):
        super().__init__()
        self.start = self.stop = time.perf_counter(), measure.cpu_time()

    def on_train_end(self, logs=None):
        history = self.model.history
        others = history.on_train_end  # with what the callbacks before this one do at the end

        def on_train_end(logs=None):
            others(logs)
            vars(history).pop("on_train_end", None)
            self.stop = time.perf_counter(), measure.cpu_time()

        history.on_train_end = on_train_end


def new_model():
    """The published model, compiled with StepLoss; kept, because the first fit traces."""
    loss = kv.losses.RootError()
    model = keras.Sequential([keras.Input((1,)), kv.layers.AngleFit(np.pi / 4)])
    model.compile(keras.optimizers.SGD(0.05), loss, metrics=[kv.metrics.StepLoss(loss)])
    return model


def main():
    train, _ = kv.datasets.rosette()
    model = new_model()
    x, y = kv.datasets.repeat(*train, NUM_STEPS)
    phi = np.linspace(-np.pi / 2, np.pi / 2, 2001)
    surface = kv.surfaces.evaluate(kv.objectives.Objective(model, *train), coordinates=phi)
    folder = pathlib.Path(tempfile.mkdtemp())

    def fit(make_callbacks=list, verbose=0):
        model.set_weights([np.float32(np.pi / 4)])
        options = dict(batch_size=len(train[0]), shuffle=False, verbose=verbose)
        callbacks = make_callbacks()  # timed on its own: the board draws its surface
        clock = Clock()
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            model.fit(x, y, callbacks=[*callbacks, clock], **options)
        return dict(zip(("wall", "cpu"), np.subtract(clock.stop, clock.start), strict=True))

    def board(*surface, **options):
        return kv.callbacks.SurfaceBoard(folder / "run", *surface, **options)

    recorder = kv.callbacks.TrajectoryRecorder
    kinds = {
        "bare": list,
        "recorder": lambda: [recorder()],
        "board, no surface": lambda: [board()],
        "board, 10 images": lambda: [board(surface, images=10)],
        "both, 0 images": lambda: [recorder(), board(surface, images=0)],
        "both, 10 images": lambda: [recorder(), board(surface, images=10)],
        "both, 100 images": lambda: [recorder(), board(surface, images=100)],
    }
    functions = {name: lambda kind=kind: fit(kind) for name, kind in kinds.items()}
    functions["bare, progress bar"] = lambda: fit(verbose="auto")
    functions["both, 10 images, bar"] = lambda: fit(kinds["both, 10 images"], verbose="auto")
    functions["making the board"] = kinds["board, 10 images"]
    start = time.perf_counter()
    fit()
    first_fit = time.perf_counter() - start
    first = measure.alternate(functions, 1)  # imports matplotlib and hparams
    samples = measure.alternate(functions, REPEATS)
    wall, cpu = measure.median(samples), measure.median(samples, "cpu")
    cold, bare = measure.best(first), wall["bare"]
    rows = [
        [
            name,
            1000 * wall[name],
            1000 * cpu[name],
            wall[name] / bare,
            cpu[name] / cpu["bare"],
            1e6 * (wall[name] - bare) / NUM_STEPS,
            1000 * cold[name],
        ]
        for name in functions
    ]
    header = [
        f"{NUM_STEPS} steps",
        "ms",
        "CPU ms",
        "ratio",
        "CPU ratio",
        "us/step more",
        "first ms",
    ]
    measure.table(f"Median of {REPEATS}, in turn", header, rows)
    bar = "both, 10 images, bar", "bare, progress bar"
    pairs = [("both, 10 images", "bare"), bar]
    targets = [measure.target(f"{a} / {b}", wall[a] / wall[b], LIMIT) for a, b in pairs]
    fixed = fixed_costs(fit, board, surface)
    measure.table("Fixed costs of a board", ["part", "ms"], fixed.items())
    figures = [dict(zip(["what", *header[1:]], row, strict=True)) for row in rows]
    content = {"targets": targets, "first_fit_s": first_fit, "fits": figures, "fixed_ms": fixed}
    measure.write("recording", content)


def fixed_costs(fit, board, surface):
    """Milliseconds of the parts that come once per fit, once everything is imported."""
    times, watched = {}, board(surface)
    for part, name in PARTS.items():
        setattr(watched, name, _timed(getattr(watched, name), times.setdefault(part, [])))
    fit(lambda: [watched])
    return {part: 1000 * durations[0] for part, durations in times.items()}


def _timed(method, durations):
    def call(*arguments):
        start = time.perf_counter()
        try:
            return method(*arguments)
        finally:
            durations.append(time.perf_counter() - start)

    return call


if __name__ == "__main__":
    main()
