"""Make the pictures of the documentation, and print its figures: python docs/make_pictures.py.

Names of parts make only these: python docs/make_pictures.py digits.
"""

import dataclasses
import io
import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's notes on CUDA and the CPU

import keras
import numpy as np
from PIL import Image

import keras_valleys as kv

IMAGES = pathlib.Path(__file__).parent / "images"
PHI = np.linspace(-np.pi / 2, np.pi / 2, 2001)
THEMES = (("light", ""), ("dark", "_dark"))


def save(name, figure):
    """As it is where that is small, else in 256 colors."""
    picture = Image.open(io.BytesIO(kv.plots.encode(figure))).convert("RGB")
    picture.save(IMAGES / f"{name}.png", optimize=True)
    if (IMAGES / f"{name}.png").stat().st_size > 100_000:
        picture.quantize(256).save(IMAGES / f"{name}.png", optimize=True)


def angle_model(root=4):
    """One straight line through the origin, at 45 degrees."""
    model = keras.Sequential([keras.Input((1,)), kv.layers.AngleFit()])
    loss = kv.losses.RootError(root)
    model.compile(keras.optimizers.SGD(0.05), loss, metrics=[kv.metrics.StepLoss(loss)])
    return model


def optimizers(rate=0.05):
    return {
        "SGD": keras.optimizers.SGD(rate),
        "SGD, momentum 0.9": keras.optimizers.SGD(rate, momentum=0.9),
        "Adam": keras.optimizers.Adam(rate),
        "Lion": keras.optimizers.Lion(rate),
        "RMSprop": keras.optimizers.RMSprop(rate),
    }


def rosette():
    """The data, the objective over the training rows, its surface, and the valleys."""
    (x, y), test = kv.datasets.rosette()
    objective = kv.objectives.Objective(angle_model(), x, y)
    surface = kv.surfaces.evaluate(objective, coordinates=PHI, refine=1e-4, verbose=0)
    valleys = kv.valleys.find_valleys(surface, objective=objective)
    return (x, y), test, objective, valleys


def teaser():
    """Five lines, and the same angle under three errors."""
    save("data", kv.plots.data(*kv.datasets.rosette(test_fraction=0)[0]))
    surfaces = []
    for root in (1, 2, 4):
        (x, y), _ = kv.datasets.rosette(test_fraction=0)
        objective = kv.objectives.Objective(angle_model(root), x, y)
        surfaces.append(kv.surfaces.evaluate(objective, coordinates=PHI, verbose=0))
    labels = ["squared error", "absolute error", "fourth root of the squared error"]
    save("errors", kv.plots.curves(surfaces, labels=labels))


def run():
    """The published run, and where it is derailed."""
    (x, y), _, objective, valleys = rosette()
    print(valleys)
    recorder = kv.callbacks.TrajectoryRecorder()
    steps = kv.datasets.repeat(x, y, num_steps=100)
    objective.model.fit(*steps, batch_size=len(x), shuffle=False, callbacks=[recorder], verbose=0)
    path = recorder.trajectory
    for one in kv.valleys.derailments(path, valleys):
        ends = [np.rad2deg(valley.position[0]) for valley in (one.before, one.after)]
        print(f"step {one.step}: {ends[0]:.2f} to {ends[1]:.2f}, loss rises {one.rise:.5f}")
    for t in (0, 1, 2, 3, 4, 5, 6, 7, 8, 90, 99):
        print(t, np.rad2deg(path.weights[t, 0]).round(2), path.losses[t].round(5))
    for theme, suffix in THEMES:
        save(f"circle{suffix}", kv.plots.circle(valleys.surface, path, theme=theme))
    save("run", kv.plots.curve(valleys.surface, path))
    save("phi", kv.plots.weight_by_step(path, name="phi", unit="rad"))


def swap():
    """Five optimizers from nine starts, at four learning rates."""
    (x, y), _, _, valleys = rosette()
    starts, rates = np.radians(np.arange(-80, 81, 20) + 1.0), [0.005, 0.02, 0.05, 0.2]
    found = kv.comparisons.compare(
        angle_model, optimizers(), x, y, 100, starts=starts, surface=valleys, tune=rates
    )
    print(found)
    for name in optimizers():
        for rate in rates:
            runs = [r for r in found.tuning if (r.optimizer, r.learning_rate) == (name, rate)]
            total = sum(run.success for run in runs), sum(run.derailments for run in runs)
            print(f"{name} {rate}: {total[0]} of {len(runs)}, derailed {total[1]} times")
            if rate == rates[0]:
                print([(run.start, run.valley, run.derailments) for run in runs])
    at_same = [run.trajectory for run in found.tuning if run.learning_rate == 0.05]
    save("paths", kv.plots.path_panels(valleys.surface, at_same))
    save("success", kv.plots.success(found))


def basins():
    """Where 200 steps lead from 1000 starts, and from 500 starts at 120 learning rates."""
    _, _, objective, valleys = rosette()
    starts = (np.arange(1000) + 0.5) / 1000 * np.pi - np.pi / 2
    found = kv.descents.basin_map(objective, optimizers(), starts, 200, valleys)
    for k, name in enumerate(found.optimizers):
        shares = [round(100 * float(found.share(i)[k]), 1) for i in [*range(len(valleys)), -1]]
        print(name, shares)
    stays = valleys.at(starts)
    print("in the basin of the start", np.mean(found.indices == stays, axis=1))
    for theme, suffix in THEMES:
        save(f"basins{suffix}", kv.plots.basins(found, valleys, theme=theme))
    rates = np.geomspace(0.001, 1, 120)
    found = kv.descents.basin_map(
        objective, optimizers()["SGD"], starts[::2], 200, valleys, learning_rates=rates
    )
    for at in (0, 40, 60, 68, 80, 100, 119):
        shares = [round(100 * float(found.share(i)[0, at]), 1) for i in [*range(len(valleys)), -1]]
        print("SGD", rates[at].round(4), shares)
    save("basins_by_rate", kv.plots.basins_by_learning_rate(found, valleys))


def digits():
    """A small network on real images, as `scripts/fit_digits.py` has it, on its principal plane."""
    from keras import layers
    from sklearn.datasets import load_digits

    keras.utils.set_random_seed(0)
    data = load_digits()
    x, y = data.images[:1347, ..., None].astype("float32") / 16, data.target[:1347]
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(8, 3, activation="relu"),
            layers.Conv2D(16, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(10),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, name="cross_entropy")
    model.compile(keras.optimizers.Adam(0.003), loss, metrics=["accuracy"])
    recorder = kv.callbacks.TrajectoryRecorder()
    model.fit(x, y, batch_size=64, epochs=4, callbacks=[recorder], verbose=0)
    objective = kv.objectives.Objective(model, x, y)
    # Recorded losses are those of batches; the surface's are of all rows.
    path = kv.trajectories.measured(recorder, objective)
    plane = kv.directions.principal(path)
    axes = np.linspace(-6, 4, 101), np.linspace(-3, 4, 71)
    surface = kv.surfaces.evaluate(objective, plane, coordinates=axes, verbose=0)
    shown = kv.trajectories.on_surface(path, surface, objective)
    test_x, test_y = data.images[1347:, ..., None].astype("float32") / 16, data.target[1347:]
    print(objective.size, len(path), model.evaluate(x, y, batch_size=1347, verbose=0))
    print("test", model.evaluate(test_x, test_y, verbose=0))
    print("explained", plane.details["explained_variance"], shown.explained_variance)
    print("true", shown.losses[[0, -1]], "on the plane", shown.plane_losses[[0, -1]])
    print("distance", shown.distances[0], shown.distances.max(), shown.travelled[-1])
    low = np.unravel_index(np.argmin(surface.losses), surface.losses.shape)
    print("at", [float(axis[i]) for axis, i in zip(axes, low, strict=True)])
    print("lowest on the plane", surface.losses.min(), kv.valleys.find_valleys(surface))
    at = int(np.argmax(np.abs(shown.losses - shown.plane_losses)))
    print("worst step", at, shown.losses[at], shown.plane_losses[at])
    sharpness = kv.gradients.sharpness(objective, num_eigenvalues=2)
    inside = np.linalg.norm(sharpness.eigenvectors @ plane.vectors.T, axis=1)
    print("sharpness", sharpness.eigenvalues, "of its directions in the plane", inside)
    chance = kv.surfaces.Surface(
        surface.losses, axes, kv.directions.random(objective, normalization=None), surface.origin
    )
    by_chance = kv.trajectories.on_surface(path, chance)
    print("explained by a random plane", by_chance.explained_variance)
    unseen = kv.objectives.Objective(model, test_x, test_y)
    lowest = np.array([axis[i] for axis, i in zip(axes, low, strict=True)])
    places = np.stack([objective.point(), surface.origin + lowest @ plane.vectors])
    print("test loss at the end and at the lowest point", unseen(places))
    save("digits_contour", kv.plots.contour(surface, path))
    save("digits_surface", kv.plots.surface_3d(surface, path, scale="log"))
    save("digits_honesty", kv.plots.honesty(shown))


def statistics():
    """The four losses that the weights of a network with BatchNormalization have at each step."""
    rng = np.random.default_rng(0)
    x = 3 * rng.normal(size=(200, 3)) + 2
    y = np.sin(x[:, :1]) + x[:, 1:2] * x[:, 2:] / 10
    layers = [
        keras.layers.Dense(16, activation="relu"),
        keras.layers.BatchNormalization(),
        keras.layers.Dense(1),
    ]
    model = keras.Sequential([keras.Input((3,)), *layers])
    model.compile(keras.optimizers.Adam(0.02), "mean_squared_error")
    for variable in model.trainable_variables:
        variable.assign(rng.normal(0, 0.5, variable.shape))
    recorder = kv.callbacks.TrajectoryRecorder()
    steps = kv.datasets.repeat(x, y, num_steps=60, batch_size=50)
    model.fit(*steps, batch_size=50, shuffle=False, callbacks=[recorder], verbose=0)
    path, objective = recorder.trajectory, kv.objectives.Objective(model, x, y)
    bare = kv.trajectories.Trajectory(path.steps, path.weights, path.losses)
    anew = kv.objectives.Objective(model, x, y, statistics="reestimated")
    found = {
        "in fit": path,
        "own statistics": kv.trajectories.measured(path, objective),
        "statistics of the end": kv.trajectories.measured(bare, objective),
        "re-estimated": kv.trajectories.measured(path, anew),
    }
    paths = [dataclasses.replace(one, label=name) for name, one in found.items()]
    for one in paths:
        print(one.label, one.losses[[0, 5, 20, 60]].round(2))
    for theme, suffix in THEMES:
        figure = kv.plots.loss_by_step(paths, theme=theme)
        figure.axes[0].set_yscale("log")
        save(f"statistics{suffix}", figure)


def skips():
    """A deep narrow network with and without skip connections, as `scripts/fit_skips.py` has it."""
    sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "scripts"))
    import fit_skips

    parser, options = fit_skips.parse([])
    for seed, pair in fit_skips.compared(options, *fit_skips.images(parser)):
        for theme, suffix in THEMES if seed == 0 else ():
            save(f"skips{suffix}", kv.plots.beside(pair, theme=theme, scale="log"))


PARTS = {part.__name__: part for part in (teaser, run, swap, basins, digits, statistics, skips)}


def main():
    IMAGES.mkdir(exist_ok=True)
    for name in sys.argv[1:] or PARTS:
        print(f"\n{name}: {PARTS[name].__doc__}")
        PARTS[name]()


if __name__ == "__main__":
    main()
