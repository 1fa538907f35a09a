"""What is finished: shown in a bar, and kept in a checkpoint."""

import os
import sys
import time
import warnings

import keras
import numpy as np

from keras_valleys._checks import refusal
from keras_valleys._files import local_path, read_archive, write_archive

SECONDS = 2.0  # between two writes, at least
FIELDS = ("digest", "sizes", "finished", "losses")
SHOWN = 2.0  # seconds of work from which on verbose="auto" shows a bar


class Checkpoint:
    """The results of one stage of points after the other, in memory and, with a path, in a file.

    The result of a point is a number, its loss, or an array, of one shape for all.

    Args:
        path: Path of the file, or `None` for none. What an earlier run left there is used.
        digest: Text that differs where the results do.
        owner: Name of the function that computes them, for the error messages.
        depends: What they depend on, in words, for the same.

    Raises:
        ValueError: The file is damaged, or belongs to other settings.
        OSError: The file cannot be written.
    """

    def __init__(self, path, digest, *, owner, depends):
        if path is not None and not isinstance(path, (str, os.PathLike)):
            raise refusal(
                owner,
                "`checkpoint` to be the path of a file or None",
                {"checkpoint": path},
                "Use checkpoint='unfinished.npz'.",
            )
        path = local_path(owner, checkpoint=path) if path else path  # an empty one is tried below
        self._path, self._digest, self._owner = path, digest, owner
        self._stages: list[list] = []  # of losses and of what is finished
        self._earlier: list[list] = []
        if path is not None and os.path.exists(path):
            self._earlier = _read(path, digest, owner=owner, depends=depends)
        self._changed, self._written, self._pause = False, time.monotonic(), SECONDS
        if path is not None:
            self._try(path)

    def begin(self, num, shape=()):
        """Start the next stage, of `num` points, and return the indices of those not finished.

        Args:
            num: Number of points.
            shape: Shape of the result of each.
        """
        stage: list = [None, np.zeros(num, bool)]
        if self._earlier:
            stage = self._earlier.pop(0)
            other = stage[0] is not None and stage[0].shape[1:] != shape
            if len(stage[1]) != num or other:
                raise _not_ours(self._path, "its points are others", self._owner)
        self._stages.append(stage)
        return np.flatnonzero(~stage[1])

    def put(self, indices, losses):
        """Keep losses of the stage; write them when the last write is some seconds ago."""
        stage = self._stages[-1]
        if stage[0] is None:
            stage[0] = np.empty((len(stage[1]), *losses.shape[1:]), losses.dtype)
        stage[0][indices] = losses
        stage[1][indices] = True
        self._changed = True
        if time.monotonic() - self._written > self._pause:
            self.write()

    def losses(self):
        """All losses of the stage."""
        return self._stages[-1][0]

    def write(self):
        """Write what is new. A full disk costs the file, never the losses in memory."""
        if self._path is None or not self._changed:
            return
        begin = time.monotonic()
        try:
            self._save()
        except OSError as error:
            warnings.warn(
                f"`{self._owner}` could not write its checkpoint {os.fspath(self._path)!r} "
                f"({error}) and goes on without it.",
                RuntimeWarning,
                stacklevel=2,
            )
            self._path = None
        self._changed, self._written = False, time.monotonic()
        self._pause = max(SECONDS, 20 * (self._written - begin))

    def _save(self):
        if self._path is None:
            return
        stages = [*self._stages, *self._earlier]
        none = np.empty(0, "float32")
        one = next((losses for losses, _ in stages if losses is not None), none)[:0]
        kept = [
            np.zeros((len(f), *one.shape[1:]), one.dtype) if y is None else y for y, f in stages
        ]
        write_archive(
            self._path,
            "checkpoint",
            digest=self._digest,
            sizes=np.array([len(finished) for _, finished in stages], int),
            finished=np.concatenate([np.empty(0, bool), *(done for _, done in stages)]),
            losses=np.concatenate([one, *kept]),
        )

    def _try(self, path):
        try:
            self._save()
        except (OSError, ValueError) as error:
            raise refusal(
                self._owner,
                "`checkpoint` to be a path where a file can be written",
                f"checkpoint={str(self._path)!r} ({error})",
                "Make its folder, or give another path.",
                OSError,
            ) from error


def _read(path, digest, *, owner, depends):
    try:
        fields = read_archive(path, "checkpoint", FIELDS)
        sizes, finished, losses = (fields[name] for name in FIELDS[1:])
        forms = [(fields[name].dtype.kind, fields[name].ndim) for name in FIELDS[:3]]
        if forms != [("U", 0), ("i", 1), ("b", 1)] or losses.dtype.kind != "f" or not losses.ndim:
            raise ValueError("its parts are none of a checkpoint")
        ends = np.cumsum(sizes, dtype=object).tolist()
        if np.any(sizes < 0) or not sum(sizes.tolist()) == len(finished) == len(losses):
            raise ValueError("its parts do not belong together")
        found = str(fields["digest"])
    except ValueError as error:
        raise _not_ours(path, str(error.__cause__ or error), owner) from error
    if found != digest:
        raise refusal(
            owner,
            f"`checkpoint` to be of the same {depends}",
            f"{os.fspath(path)!r}, which is of others",
            "Remove that file, or give another path.",
        )
    parts = [slice(a, b) for a, b in zip([0, *ends], ends, strict=False)]
    # The dtype of a stage without losses is not known. What is read is not written to.
    return [
        [losses[part].copy() if finished[part].any() else None, finished[part].copy()]
        for part in parts
    ]


def _not_ours(path, reason, owner):
    return refusal(
        owner,
        "`checkpoint` to be a file that it wrote itself",
        f"{os.fspath(path)!r}, which is damaged or of another kind ({reason})",
        "Remove that file, or give another path.",
    )


def check_verbose(verbose, owner="evaluate"):
    """Refuse what Keras' `verbose` does not know."""
    if verbose not in ("auto", 0, 1):
        raise refusal(
            owner,
            "`verbose` to be 'auto', 0 or 1",
            {"verbose": verbose},
            "Use verbose=1 for a progress bar.",
        )


class Progress:
    """A Keras progress bar, or lines in a log, where wanted and where the work is long enough."""

    def __init__(
        self, verbose, pending, total, *, unit="point", where="in the checkpoint", note=""
    ):
        self.done, self.note = 0, note  # what is to be known of the results, said once
        self._unit, self._where = unit, where
        self._verbose, self._pending, self._total = verbose, pending, total
        self._shown, self._tenths = False, 0
        # From here on the bar counts the time.
        drawn = verbose and ("ipykernel" in sys.modules or _is_terminal(sys.stdout))
        self._bar = keras.utils.Progbar(pending, unit_name=unit) if drawn else None

    def add(self, num, seconds):
        """Count finished points; `seconds` is the time of one point, `None` where unknown."""
        self.done += num
        complete = self.done == self._pending
        left = (self._pending - self.done) * (seconds or 0)
        if not self._shown:
            unknown = seconds is None and not complete
            if not self._verbose or unknown or (self._verbose == "auto" and left <= SHOWN):
                return
            self._shown = True
            earlier = self._total - self._pending
            found = f", {earlier} of them found {self._where}" if earlier else ""
            _write(f"{self._total} {self._unit}s{found}{_rest(left)}\n")
            if self.note:
                _write(f"{self.note}\n")
                self.note = ""
        if self._bar is not None:
            self._bar.update(self.done)
        elif 10 * self.done // self._pending > self._tenths:  # ten lines at most
            self._tenths = 10 * self.done // self._pending
            _write(f"{self.done}/{self._pending} {self._unit}s{_rest(left)}\n")


def _rest(seconds):
    return f", about {seconds:.0f} s left" if seconds >= 1 else ""


def _write(text):
    if keras.config.is_interactive_logging_enabled():
        sys.stdout.write(text)
        sys.stdout.flush()


def _is_terminal(stream):
    return getattr(stream, "isatty", lambda: False)()
