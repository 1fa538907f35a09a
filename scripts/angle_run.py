"""What `fit_angle.py` and `compare_optimizers.py` run: the published experiment and its files."""

import importlib.metadata
import json

import keras
import numpy as np

import keras_valleys as kv

PHI = np.linspace(-np.pi / 2, np.pi / 2, 2001)
OPTIMIZERS = {  # those that need nothing but a learning rate
    name.lower(): value
    for name, value in vars(keras.optimizers).items()
    if isinstance(value, type)
    and issubclass(value, keras.optimizers.Optimizer)
    and name not in ("Optimizer", "LossScaleOptimizer", "MultiOptimizer")
}
ERRORS = {1: "squared error", 2: "absolute error", 4: "fourth root of the squared error"}


def angle_model(options, root):
    """The compiled model: one straight line through the origin."""
    layer = kv.layers.AngleFit(float(np.deg2rad(options.phi)))
    model = keras.Sequential([keras.Input((1,)), layer])
    optimizer = optimizer_class(options.optimizer)
    loss = kv.losses.RootError(root)
    model.compile(optimizer(options.learning_rate), loss, metrics=[kv.metrics.StepLoss(loss)])
    return model


def optimizer_class(name):
    found = OPTIMIZERS.get(name.lower())
    if found is None:
        names = ", ".join(sorted(OPTIMIZERS))
        raise ValueError(f"--optimizer must be one of {names}, not {name!r}")
    return found


def optimizers(names, learning_rate):
    """A dictionary of the optimizers that a text such as "sgd,adam" names; "all" is all of them."""
    chosen = OPTIMIZERS if names == "all" else names.lower().split(",")
    return {name: optimizer_class(name)(learning_rate) for name in chosen}


def surface_over_phi(model, x, y):
    """The loss over half a turn; a line at phi + pi is the line at phi."""
    return kv.surfaces.evaluate(kv.objectives.Objective(model, x, y), coordinates=PHI)


def all_rows(data):
    """Training and test rows together."""
    return [np.concatenate(columns) for columns in zip(*data, strict=True)]


def save_files(folder, options, surface, path):
    """The run's numbers and settings."""
    path.save(folder / "trajectory.npz")
    surface.save(folder / "surface.npz")
    packages = ("keras-valleys", "keras", "numpy", "matplotlib", "tensorboard")
    settings = {
        "arguments": {name: value for name, value in vars(options).items() if name != "log_dir"},
        "backend": keras.config.backend(),
        "versions": {name: importlib.metadata.version(name) for name in packages},
    }
    (folder / "settings.json").write_text(json.dumps(settings, indent=2) + "\n")


def save_pictures(folder, data, model, surface, path):
    """The six pictures of the source, and the surface unrolled."""
    train, test = data
    figures = {
        "1_data": kv.plots.data(*all_rows(data)),
        "2_split": kv.plots.split(train, test),
        "3_fit": kv.plots.fit(test, model.predict(test[0], verbose=0)),
        "4_loss": kv.plots.loss_by_step(path),
        "5_phi": kv.plots.weight_by_step(path, name="phi", unit="rad"),
        "6_circle": kv.plots.circle(surface, path),
        "7_surface": kv.plots.curve(surface, path),
    }
    for name, figure in figures.items():
        (folder / f"{name}.png").write_bytes(kv.plots.encode(figure))


def save_page(folder, surface, paths):
    """The same to play with; what there is to say of it."""
    page = kv.pages.write_html(folder / "index.html", surface, paths, title=folder.name)
    return f"Open in a browser: {page}"


def save_teaser(folder, data, options):
    """One valley becoming five: squared, absolute and root error of the same lines."""
    x, y = all_rows(data)
    surfaces = [surface_over_phi(angle_model(options, root), x, y) for root in ERRORS]
    figure = kv.plots.curves(surfaces, labels=list(ERRORS.values()))
    (folder / "8_errors.png").write_bytes(kv.plots.encode(figure))


def save_predecessor(folder):
    """Slope and intercept of one noisy line under the squared error: one simple valley."""
    (x, y), _ = kv.datasets.straight_line()
    layer = keras.layers.Dense(1, kernel_initializer=keras.initializers.Constant(5.0))
    model = keras.Sequential([keras.Input((1,)), layer])
    model.compile(keras.optimizers.SGD(0.1), "mean_squared_error")
    recorder = kv.callbacks.TrajectoryRecorder()
    steps = kv.datasets.repeat(x, y, num_steps=10)
    model.fit(*steps, batch_size=len(x), shuffle=False, callbacks=[recorder], verbose=0)
    grid = [np.linspace(0.5, 5.5, 61), np.linspace(-0.5, 4, 51)]
    objective = kv.objectives.Objective(model, x, y)
    surface = kv.surfaces.evaluate(objective, coordinates=grid, labels=["slope", "intercept"])
    figure = kv.plots.contour(surface, recorder.trajectory)
    (folder / "9_predecessor.png").write_bytes(kv.plots.encode(figure))


def report(surface, path, loss):
    """Lines that say where phi ended and at which steps it was derailed."""
    phi = float(path.weights[-1, 0])
    valleys = kv.valleys.find_valleys(surface)
    index = valleys.at(phi)
    where = f"in the {describe(valleys[index])}" if index >= 0 else "in no valley"
    lines = [f"phi ended at {np.rad2deg(phi):.2f} degrees, {where}; its loss is {loss:.5f}."]
    for derailed in kv.valleys.derailments(path, valleys):
        before, after = describe(derailed.before), describe(derailed.after)
        lines.append(f"Step {derailed.step} derailed it: from the {before} into the {after}.")
    return lines if len(lines) > 1 else [*lines, "It was never derailed."]


def describe(valley):
    return f"valley at {np.rad2deg(valley.position[0]) + 0.0:.1f} degrees"
