"""Weights that were saved to files: which files, of which steps, of which model."""

import glob
import io
import os
import re
import tempfile
import warnings
import zipfile
from collections.abc import Iterable

import h5py
import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_valleys._checks import as_list, check_kind, refusal, shortened
from keras_valleys._files import local_path
from keras_valleys._weights import flatten, moved, statistics_of, to_numpy
from keras_valleys.trajectories.trajectory import Trajectory

ENDINGS = (".weights.h5", ".keras")


def find(paths):
    """The files of a list as it is, or of a pattern in natural order."""
    if isinstance(paths, str | os.PathLike):
        pattern = local_path("from_checkpoints", paths=paths)
        found = [pattern] if os.path.exists(pattern) else glob.glob(pattern, recursive=True)
        files = sorted(found, key=_natural)
    else:
        files = [local_path("from_checkpoints", paths=path) for path in as_list(paths)]
    missing = [file for file in files if not os.path.isfile(file)]
    if missing or not files:
        raise refusal(
            "from_checkpoints",
            "`paths` to be a list of files or a pattern of some",
            f"{missing[0]!r}, which is no file" if missing else f"{paths!r}, none",
            "Use the `filepath` of ModelCheckpoint with * for what is in braces.",
            FileNotFoundError,
        )
    return files


def _natural(name):
    """A key by which w-2 comes before w-10."""
    parts = re.split(r"(\d+)", name)  # the numbers are at the odd places
    return [int(part) if place % 2 else part for place, part in enumerate(parts)]


def steps_of(files):
    """The first of the numbers in the names that rises from file to file, else 0, 1, 2..."""
    stems = [re.sub(r"(\.weights\.h5|\.keras)$", "", os.path.basename(file)) for file in files]
    columns = [re.findall(r"\d{1,18}", stem) for stem in stems]
    if len({len(numbers) for numbers in columns}) == 1:
        for column in np.array(columns, "int64").reshape(len(files), -1).T:
            if np.all(np.diff(column) > 0):
                return column
    return np.arange(len(files))


def check(model, files, steps):
    """Refuse a model without weights and steps that do not belong to the files."""
    if not model.built or not model.trainable_variables:
        raise refusal(
            "from_checkpoints",
            "a built model with trainable weights",
            f"{shortened(model.name)}, which has none yet",
            "Call it once on a batch first.",
        )
    if np.shape(steps) != (len(files),) or np.any(np.diff(steps) <= 0):
        raise refusal(
            "from_checkpoints",
            "`steps` to be one rising integer per file",
            f"{len(files)} files, steps={shortened(steps)}",
            "Use steps=None.",
        )


def read(model, files):
    """What is in each file: trainable weights `(T, P)`, statistics that move `(T, Q)`, Q names.

    The model is afterwards as it was.
    """
    optimizer = getattr(model, "optimizer", None)
    every = {id(v): v for v in [*model.variables, *getattr(optimizer, "variables", ())]}
    before = [(variable, np.array(to_numpy(variable))) for variable in every.values()]
    own, statistics = _own_content(model), statistics_of(model)
    rows, others = [], []
    try:
        for file in files:
            _load(model, file, own)
            rows.append(flatten(model.trainable_variables))
            others.append(flatten(statistics))
    finally:
        for variable, value in before:
            variable.assign(value)
    return np.stack(rows), *moved(statistics, np.stack(others))


def _load(model, file, own):
    try:
        # Keras itself loads what fits and leaves the rest of the model and of the file alone.
        other = set(_content(file)) ^ set(own)
        if other:
            raise ValueError(f"{min(other)} is in one of them only")
        with warnings.catch_warnings():  # the optimizer's state is of no interest here
            warnings.filterwarnings("ignore", "Skipping variable loading for optimizer")
            model.load_weights(file)
    except Exception as error:  # of a file that is made to break Keras, h5py or zipfile: any
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise refusal(
            "from_checkpoints",
            f"files of weights of {model.name!r}, ending with {' or '.join(ENDINGS)}",
            f"{shortened(file)}, which is damaged or of another model ({reason})",
            "Give the model that was trained, built in the same way.",
        ) from error


def _own_content(model):
    """What a file of the model's weights contains."""
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "own.weights.h5")
        model.save_weights(file)
        return _content(file)


def _content(file):
    """Names and shapes of the arrays in a file of weights, without the optimizer's."""
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            file = io.BytesIO(archive.read("model.weights.h5"))
    found = []

    def add(name, item):
        if isinstance(item, h5py.Dataset) and not name.startswith("optimizer/"):
            found.append(f"{name} of shape {item.shape}")

    with h5py.File(file, "r") as content:
        content.visititems(add)
    return found


def from_checkpoints(
    model: keras.Model,
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    steps: ArrayLike | None = None,
    label: str = "",
) -> Trajectory:
    """A trajectory from files of weights, as `keras.callbacks.ModelCheckpoint` writes them.

    The model loads one file after the other; afterwards, and after an exception, all its variables
    and its optimizer's are as they were.

    Args:
        model: The Keras model that was trained, built. Its trainable weights are the rows.
        paths: List of `.weights.h5` or `.keras` files in the order of training, or a pattern such
            as "run/w-*.weights.h5", in natural order: w-2 before w-10.
        steps: One rising integer per file. `None` takes the first number in the files' names that
            rises from file to file, such as the epoch, else 0, 1, 2...
        label: Name of the run, as in a legend.

    Returns:
        A `Trajectory` whose losses are NaN: the files do not hold them, and `measured` finds them.
        It has the statistics in the files, such as the means of BatchNormalization.

    Raises:
        FileNotFoundError: No file matches, or one of the list is missing.
        ValueError: An unbuilt model, a damaged file or one of another model, unfit `steps`.

    Example:

    >>> model = keras.Sequential([keras.Input((1,)), keras_valleys.layers.AngleFit()])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for epoch in (2, 10):
    ...         model.save_weights(os.path.join(folder, f"w-{epoch}.weights.h5"))
    ...     pattern = os.path.join(folder, "w-*.weights.h5")
    ...     path = keras_valleys.trajectories.from_checkpoints(model, pattern)
    >>> path.steps, path.weights.shape
    (array([ 2, 10]), (2, 1))
    """
    check_kind("from_checkpoints", "model", model=model)
    files = find(paths)
    steps = steps_of(files) if steps is None else np.asarray(steps)
    check(model, files, steps)
    weights, statistics, names = read(model, files)
    unknown = np.full(len(files), np.nan)
    source = "none: weights from files"
    return Trajectory(steps, weights, unknown, label, source, statistics, names)
