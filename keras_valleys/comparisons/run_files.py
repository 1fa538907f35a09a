"""The finished runs of a comparison, found again in its folder."""

import json
import os
import pathlib
import re
import warnings
from typing import Any

import numpy as np

from keras_valleys._checks import is_finite, refusal
from keras_valleys._files import local_path, read_archive, write_archive, write_whole
from keras_valleys.comparisons.bench import Fit
from keras_valleys.trajectories import Trajectory

FACTS = "run.json"  # written last: a folder with it is of a finished run
MOST_FACTS = 2**20  # bytes of it: what is longer is no longer JSON
PATH = "trajectory.npz"
TIMES = "clock.npz"


class RunFiles:
    """The runs in a folder, by their digests.

    Args:
        log_dir: Path of the folder, or `None` for none.

    Raises:
        OSError: The folder cannot be made.
    """

    def __init__(self, log_dir):
        self.log_dir: Any = None
        self._folders: dict = {}
        self._warned = False
        if log_dir is None:
            return
        self.log_dir = pathlib.Path(
            os.path.abspath(local_path("compare", is_text=True, log_dir=log_dir))
        )
        try:
            self.log_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise refusal(
                "compare",
                "`log_dir` to be a folder that it can make and write to",
                f"log_dir={os.fspath(log_dir)!r} ({error})",
                "Use another one.",
                OSError,
            ) from error
        for file in sorted(self.log_dir.glob(f"*/{FACTS}")):
            facts = _read_json(file)
            if isinstance(facts.get("digest"), str):
                self._folders.setdefault(facts["digest"], file.parent)

    def find(self, digest, size):
        """The `Fit` of a finished run of so many weights, or `None`."""
        folder = self._folders.get(digest)
        if folder is None:
            return None
        seconds = _read_json(folder / FACTS).get("seconds")
        try:
            path = Trajectory.load(folder / PATH)
            clock = read_archive(folder / TIMES, "clock", ["seconds"])["seconds"]
        except (OSError, ValueError):  # damaged: it is run again
            return None
        whole = len(path) and path.weights.shape[1] == size and path.loss_kind == "true"
        if not whole or clock.dtype.kind != "f" or clock.shape != path.losses.shape:
            return None
        fits = is_finite(seconds) and seconds >= 0
        return Fit(path, clock, float(seconds), folder=str(folder)) if fits else None

    def keep(self, fit, digest, facts):
        """Keep a finished run; a full disk costs the files, never the result in memory."""
        if self.log_dir is None or digest is None:
            return
        folder = pathlib.Path(fit.folder)
        facts = {**facts, "seconds": fit.seconds, "digest": digest}
        try:
            fit.trajectory.save(folder / PATH)
            write_archive(folder / TIMES, "clock", seconds=fit.clock)
            write_whole(folder / FACTS, json.dumps(facts, indent=2) + "\n")
        except OSError as error:
            self._warn(error)

    def publish(self, folder, texts, pictures):
        """Write the files of the whole, the last of the texts last."""
        folder = pathlib.Path(folder)
        try:
            for name, content in {**pictures, **texts}.items():
                write_whole(folder / name, content)
        except OSError as error:
            self._warn(error)

    def starts(self, name, drawn, draw):
        """The starts of the first call, where the model's initial weights are random.

        Args:
            name: Name of the file, of the model and its data.
            drawn: Array of shape `(S, P)`.
            draw: Function that draws them once more.
        """
        if self.log_dir is None:
            return drawn
        file = self.log_dir / f"starts-{name}.npz"
        try:
            kept = read_archive(file, "starts", ["weights"])["weights"]
        except (FileNotFoundError, ValueError):
            kept = None
        if kept is None or kept.shape != drawn.shape or kept.dtype != drawn.dtype:
            try:
                write_archive(file, "starts", weights=drawn)
            except OSError as error:
                self._warn(error)
            return drawn
        if np.array_equal(kept, drawn) or np.array_equal(draw(), drawn):
            return drawn  # the same as then, or chosen anew
        return kept

    def _warn(self, error):
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"`compare` could not write its runs to {os.fspath(self.log_dir)!r} ({error}). "
                "It goes on; what is not there is run again by another call.",
                RuntimeWarning,
                stacklevel=3,
            )


def folder_name(*parts):
    """A readable name of a folder."""
    return "-".join(re.sub(r"[^\w.+-]+", "_", str(part)).strip("._") or "_" for part in parts)


def _read_json(file):
    try:
        with open(file, "rb") as opened:
            facts = json.loads(opened.read(MOST_FACTS))
    except (OSError, ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}
