"""Make the pictures of the documentation: python docs/make_pictures.py."""

import pathlib

import keras
import numpy as np

import keras_valleys as kv

IMAGES = pathlib.Path(__file__).parent / "images"
PHI = np.linspace(-np.pi / 2, np.pi / 2, 2001)


def published_run():
    """The surface and the trajectory of the published run."""
    (x, y), _ = kv.datasets.rosette()
    model, loss = keras.Sequential([keras.Input((1,)), kv.layers.AngleFit()]), kv.losses.RootError()
    model.compile(keras.optimizers.SGD(0.05), loss, metrics=[kv.metrics.StepLoss(loss)])
    recorder = kv.callbacks.TrajectoryRecorder()
    steps = kv.datasets.repeat(x, y, num_steps=100)
    surface = kv.surfaces.evaluate(kv.objectives.Objective(model, x, y), coordinates=PHI)
    model.fit(*steps, batch_size=len(x), shuffle=False, callbacks=[recorder], verbose=0)
    return surface, recorder.trajectory


def errors():
    """The surfaces of three errors over all rows."""
    (x, y), _ = kv.datasets.rosette(test_fraction=0)
    for root in (1, 2, 4):
        model = keras.Sequential([keras.Input((1,)), kv.layers.AngleFit()])
        model.compile(loss=kv.losses.RootError(root))
        yield kv.surfaces.evaluate(kv.objectives.Objective(model, x, y), coordinates=PHI)


def main():
    IMAGES.mkdir(exist_ok=True)
    surface, path = published_run()
    labels = ["squared error", "absolute error", "fourth root of the squared error"]
    for theme, suffix in (("light", ""), ("dark", "_dark")):
        figure = kv.plots.circle(surface, path, theme=theme)
        (IMAGES / f"circle{suffix}.png").write_bytes(kv.plots.encode(figure))
    figure = kv.plots.curves(list(errors()), labels=labels)
    (IMAGES / "errors.png").write_bytes(kv.plots.encode(figure))


if __name__ == "__main__":
    main()
