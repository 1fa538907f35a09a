"""What `map_basins.py` runs: descents from many starts, their map, pictures and report."""

import contextlib
import hashlib
import importlib.metadata
import json

import keras
import numpy as np

import keras_valleys as kv


def run(options):
    """Make the map and its files; a killed run goes on where it was when it is run again."""
    (x, y), _ = kv.datasets.rosette(options.num_lines, noise=options.noise)
    model = keras.Sequential([keras.Input((1,)), kv.layers.AngleFit()])
    model.compile(loss=kv.losses.RootError(options.root))
    objective = kv.objectives.Objective(model, x, y)
    phi = np.linspace(-np.pi / 2, np.pi / 2, 2001)
    surface = kv.surfaces.evaluate(objective, coordinates=phi, refine=1e-4)
    valleys = kv.valleys.find_valleys(surface)
    starts = (np.arange(options.starts) + 0.5) / options.starts * np.pi - np.pi / 2
    by_rate = options.by == "learning-rate"
    rates = np.geomspace(*options.rates, options.num_rates) if by_rate else None
    settings = {k: v for k, v in vars(options).items() if k != "log_dir"}
    text = json.dumps([settings, keras.config.backend()])
    unfinished = f".basins-{hashlib.sha256(text.encode()).hexdigest()[:12]}.part.npz"
    optimizers = named(options)
    new = not options.log_dir.exists()
    options.log_dir.mkdir(parents=True, exist_ok=True)
    try:
        basins = kv.descents.basin_map(
            objective,
            optimizers,
            starts,
            options.steps,
            valleys,
            learning_rates=rates,
            checkpoint=options.log_dir / unfinished,
        )
    except ValueError:
        with contextlib.suppress(OSError):
            options.log_dir.rmdir() if new else None
        raise
    folder = new_folder(options.log_dir, "basins-by-" + options.by)
    save(folder, basins, valleys, settings)
    (options.log_dir / unfinished).unlink(missing_ok=True)
    return folder, [str(valleys), "", *report(basins, valleys)]


def named(options):
    """Names to optimizers; "momentum" is SGD with it."""
    classes = {name.lower(): value for name, value in vars(keras.optimizers).items()}
    found, rate = {}, options.learning_rate
    for name in options.optimizers.split(","):
        name = name.strip().lower()
        if name == "momentum":
            found["SGD, momentum 0.9"] = keras.optimizers.SGD(rate, momentum=0.9)
        elif isinstance(classes.get(name), type) and "loss" not in name:
            found[classes[name].__name__] = classes[name](rate)
        else:
            raise ValueError(f"--optimizers must be names of keras.optimizers, not {name!r}")
    return found


def new_folder(log_dir, name):
    number = 1
    while True:
        folder = log_dir / (name if number == 1 else f"{name}-{number}")
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            return folder
        number += 1


def save(folder, basins, valleys, settings):
    basins.save(folder / "basins.npz")
    valleys.surface.save(folder / "surface.npz")
    valleys.to_csv(folder / "valleys.csv")
    packages = ("keras-valleys", "keras", "numpy", "matplotlib")
    versions = {name: importlib.metadata.version(name) for name in packages}
    content = {"arguments": settings, "backend": keras.config.backend(), "versions": versions}
    (folder / "settings.json").write_text(json.dumps(content, indent=2) + "\n")
    by_rate = basins.learning_rates.size > 0
    draw = kv.plots.basins_by_learning_rate if by_rate else kv.plots.basins
    for theme in ("light", "dark"):
        figure = draw(basins, valleys, theme=theme)
        (folder / f"basins_{theme}.png").write_bytes(kv.plots.encode(figure))


def report(basins, valleys):
    """Lines that say which part of the starts ends where, for each optimizer."""
    lines = []
    for k, name in enumerate(basins.optimizers):
        parts = [
            f"{100 * np.mean(basins.indices[k] == index):.1f} % in "
            + (_name(valleys[index]) if index >= 0 else "none")
            for index in [*range(len(valleys)), -1]
            if np.any(basins.indices[k] == index)
        ]
        lines.append(f"{name}: {', '.join(parts)}.")
    return lines


def _name(valley):
    return "what is lowest at the border" if valley.on_border else f"valley {valley.index}"
