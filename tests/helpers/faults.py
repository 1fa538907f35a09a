"""Processes that are killed and files that are damaged, at random: what was kept is still there.

The tests make few of each. Many, with the figures at the end:

    cd tests && python -m helpers.faults --fits 20 --evaluations 10 --comparisons 5 --files 1000
"""

import argparse
import collections
import json
import os
import pathlib
import random
import signal
import subprocess
import tempfile
import time
import warnings

import numpy as np
from tensorboard.compat.proto import event_pb2

import keras_valleys as kv
from helpers import crafted
from helpers.checkpoints import finished
from helpers.contests import SGD, SIZE, Adam, data, same_paths
from helpers.fits import fit, some_data
from helpers.formulas import PLANE, Heavy, expected
from helpers.lines import rosette_model
from helpers.processes import start_python
from helpers.readers import READERS, open_reader
from helpers.records import written
from helpers.tab import open_tab
from keras_valleys.comparisons import compare
from keras_valleys.comparisons.run_files import RunFiles
from keras_valleys.events import frame

FIT = """
import sys
import keras, numpy as np, keras_valleys as kv
from helpers.faults import long_fit
from helpers.fits import some_data
from helpers.lines import rosette_model

class Tell(keras.callbacks.Callback):
    "Behind the board: at the begin of a step the rows before it are written."
    steps = 0
    def on_train_batch_begin(self, batch, logs=None):
        print(self.steps, flush=True)
        self.steps += 1

objective = kv.objectives.Objective(rosette_model(), *some_data())
surface = kv.surfaces.evaluate(objective, coordinates=np.linspace(-1.5, 1.4, 99))
board = kv.callbacks.SurfaceBoard(sys.argv[1], surface, images=4)
long_fit(int(sys.argv[2]), board, Tell())
"""

EVALUATE = """
import sys
from helpers.checkpoints import finished
from helpers.formulas import PLANE, Heavy
from keras_valleys import _progress
from keras_valleys.surfaces import evaluate

_progress.SECONDS = 0.0
class Tells(_progress.Checkpoint):
    def write(self):
        super().write()
        print(int(sum(done.sum() for _, done in self._stages)), flush=True)
        self._pause = 0.0

import keras_valleys.surfaces.surface as room
room.Checkpoint = Tells
evaluate(Heavy(0.01), **PLANE, checkpoint=sys.argv[1], verbose=0)
"""

COMPARE = """
import pathlib, sys, threading, time
from helpers.contests import SGD, SIZE, Adam, data
from helpers.lines import rosette_model
from keras_valleys.comparisons import compare

def tell():
    while True:
        print(len(list(pathlib.Path(sys.argv[1]).glob("*/run.json"))), flush=True)
        time.sleep(0.02)

threading.Thread(target=tell, daemon=True).start()
given = {"sgd": SGD(0.05), "adam": Adam(0.05)}
seeds = int(sys.argv[2])
compare(rosette_model, given, *data(), 30, SIZE, seeds=seeds, log_dir=sys.argv[1], verbose=0)
"""


def long_fit(steps, *callbacks):
    """One epoch of so many steps."""
    x, y = kv.datasets.repeat(*some_data(), steps, 16)
    options = {"batch_size": 16, "shuffle": False, "verbose": 0}
    rosette_model().fit(x, y, callbacks=list(callbacks), **options)


def killed(code, *arguments, rng, first=0, most=2.0):
    """Run code, kill it up to so many seconds after it told `first`; what it told last, or None.

    `None` where it ended before.
    """
    pipe = subprocess.PIPE
    with start_python(code, *arguments, stderr=pipe) as process:
        told = -1
        while told < first:
            line = process.stdout.readline()
            if not line:
                raise AssertionError(process.stderr.read()[-3000:])
            told = int(line)
        time.sleep(rng.uniform(0, most))
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate()
    whole = rest[: rest.rfind("\n") + 1].split()
    told = int(whole[-1]) if whole else told
    return told if process.returncode == -signal.SIGKILL else None


class Watched(Heavy):
    """One that knows its points, each once: calls are padded with equal ones for JAX."""

    def __init__(self):
        super().__init__()
        self.points = set()

    def along(self, coefficients, directions, origin):
        self.points |= set(map(tuple, coefficients.tolist()))
        return super().along(coefficients, directions, origin)


class Kills:
    """Kills, each of which checks what is left; what they found is counted.

    Args:
        folder: Path of a folder.
        seed: Seed of the moments.
        steps: Number of steps of a fit.
        seeds: Number of seeds of a comparison, of two optimizers.
    """

    def __init__(self, folder, seed=0, *, steps=1500, seeds=6):
        self.steps, self.seeds = steps, seeds
        self.folder, self._rng = pathlib.Path(folder), random.Random(seed)
        self.figures = collections.Counter()
        self._known = {}

    def fit(self, number):
        """A fit: its rows are there up to the one that was written last."""
        log_dir = self.folder / f"fits-{number}" / "run"
        told = killed(FIT, log_dir, self.steps, rng=self._rng, first=1)
        if "path" not in self._known:
            recorder = kv.callbacks.TrajectoryRecorder()
            long_fit(self.steps, recorder)
            self._known["path"] = recorder.trajectory
        path = self._known["path"]
        with open_reader(READERS[number % len(READERS)], log_dir.parent) as reader:
            found = reader.scalars("run", "valley/phi")
            losses = reader.scalars("run", "valley/loss")
        if told is None:  # it was quicker than the kill
            told = len(path) - 1
        steps = [step for step, _ in found]
        assert steps == list(range(len(steps))) and len(steps) >= told, (told, len(steps))
        assert len(losses) >= told
        np.testing.assert_allclose(
            [value for _, value in found], path.weights[: len(steps), 0], rtol=1e-5
        )
        with open_tab("python", log_dir.parent) as tab:
            header, columns = tab.path("run")
            rows = columns["step"].tolist()
        assert header["total_rows"] <= len(steps) and rows[:1] == [0.0] * bool(rows)
        self.figures["fits"] += 1
        self.figures["rows told before the kill"] += told
        self.figures["rows found in scalars"] += len(steps)
        self.figures["rows found in the tab"] += header["total_rows"]

    def evaluate(self, number):
        """An evaluation: its losses are there up to the last write, and it goes on to the same."""
        path = self.folder / f"surface-{number}.part.npz"
        told = killed(EVALUATE, path, rng=self._rng)
        left = finished(path)
        told = 322 if told is None else told
        assert left >= told, (left, told)
        objective = Watched()
        surface = kv.surfaces.evaluate(objective, **PLANE, checkpoint=path, verbose=0)
        np.testing.assert_array_equal(surface.losses, expected())
        assert len(objective.points) == 322 - left
        self.figures["evaluations"] += 1
        self.figures["points told before the kill"] += told
        self.figures["points found"] += left

    def compare(self, number):
        """A comparison: finished runs are there, are not run again, and all is as if alone."""
        folder = self.folder / f"runs-{number}"
        told = killed(COMPARE, folder, self.seeds, rng=self._rng, first=1)
        whole = sorted(path.parent for path in folder.glob("*/run.json"))
        told = 2 * self.seeds if told is None else told
        assert len(whole) >= told, (len(whole), told)
        before = {path: path.stat().st_mtime_ns for one in whole for path in one.iterdir()}
        given = {"sgd": SGD(0.05), "adam": Adam(0.05)}
        options = dict(seeds=self.seeds, verbose=0)
        again = compare(rosette_model, given, *data(), 30, SIZE, log_dir=folder, **options)
        assert all(path.stat().st_mtime_ns == time for path, time in before.items())
        if "comparison" not in self._known:
            alone = compare(rosette_model, given, *data(), 30, SIZE, **options)
            self._known["comparison"] = alone
        same_paths(again, self._known["comparison"])
        assert len(list(folder.glob("*/run.json"))) == 2 * self.seeds
        self.figures["comparisons"] += 1
        self.figures["runs told before the kill"] += told
        self.figures["runs found"] += len(whole)


def mutated(content, rng):
    """Bytes with one to three random changes."""
    content = bytearray(content)
    for _ in range(rng.randint(1, 3)):
        start = rng.randrange(len(content) + 1)
        end = min(len(content), start + rng.choice((1, 2, 4, 8, 100)))
        how = rng.randrange(7)
        if how == 0:
            content[start:end] = rng.randbytes(end - start)
        elif how == 1:
            content[start:end] = bytes(end - start)
        elif how == 2:
            content[start:end] = b"\xff" * (end - start)
        elif how == 3:
            del content[start:end]
        elif how == 4:
            content[start:start] = rng.randbytes(rng.choice((1, 4, 100)))
        elif how == 5:
            content[start:start] = content[start:end]
        else:
            del content[start:]
    return bytes(content)


class Damages:
    """Damaged files, each of which is read; what became of them is counted.

    Args:
        folder: Path of a folder.
        seed: Seed of the damages.
    """

    def __init__(self, folder, seed=0):
        self.folder, self._rng = pathlib.Path(folder), random.Random(seed)
        self.figures = collections.Counter()
        self._make()

    def _make(self):
        """Whole files of each kind."""
        objective = kv.objectives.Objective(rosette_model(), *some_data())
        self.surface = kv.surfaces.evaluate(objective, coordinates=np.linspace(-1.5, 1.4, 31))
        valleys = kv.valleys.find_valleys(self.surface)
        starts = np.array([-0.5, 0.1, 0.5])
        board = kv.callbacks.SurfaceBoard(self.folder / "good" / "run", self.surface, images=1)
        recorder = kv.callbacks.TrajectoryRecorder()
        fit(rosette_model(), board, recorder)
        self.results = {
            "surface": self.surface,
            "trajectory": recorder.trajectory,
            "basin_map": kv.descents.basin_map(objective, "sgd", starts, 2, valleys),
        }
        for name, result in self.results.items():
            result.save(self.folder / f"{name}.npz")
        self.checkpoint = self.folder / "checkpoint.npz"
        kv.surfaces.evaluate(Heavy(), **PLANE, checkpoint=self.checkpoint, verbose=0)
        self.runs = self.folder / "runs"
        found = compare(rosette_model, ["sgd"], *data(), 3, log_dir=self.runs, verbose=0)
        self.run = pathlib.Path(found.runs[0].log_dir)
        (self.events,) = (self.folder / "good" / "run").iterdir()

    def archive(self, path):
        """A damaged copy of an npz file: its bytes, or those within, which are packed again."""
        target = self.folder / "damaged.npz"
        if self._rng.random() < 0.5:
            target.write_bytes(mutated(path.read_bytes(), self._rng))
            return target, False
        members = crafted.content_of(path)
        name = self._rng.choice(sorted(members))
        members[name] = mutated(members[name], self._rng)
        if self._rng.random() < 0.3:
            members[name] = self._rng.choice(list(crafted.UNFIT.values()))
        return crafted.write(target, members), True

    def result(self):
        """A result: it is what was saved, or another whole one where a checksum cannot tell."""
        name, result = self._rng.choice(sorted(self.results.items()))
        path, repacked = self.archive(self.folder / f"{name}.npz")
        try:
            found = type(result).load(path)
        except ValueError as error:
            assert str(error).startswith(f"`{type(result).__name__}.load` expects a file"), error
            self.figures["results refused"] += 1
            return
        assert repacked or found == result
        found.save(path)
        assert type(result).load(path) == found and len(repr(found)) <= 100
        self.figures["results loaded"] += 1

    def unfinished(self):
        """A checkpoint: it is refused, or gone on with."""
        path, repacked = self.archive(self.checkpoint)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                surface = kv.surfaces.evaluate(Heavy(), **PLANE, checkpoint=path, verbose=0)
        except ValueError as error:
            assert "`checkpoint` to be" in str(error), error
            self.figures["checkpoints refused"] += 1
            return
        assert repacked or np.array_equal(surface.losses, expected())
        self.figures["checkpoints used"] += 1

    def facts(self):
        """A file of a finished run: it is taken as it was, or the run is made again."""
        name = self._rng.choice(["run.json", "trajectory.npz", "clock.npz"])
        file = self.run / name
        whole = file.read_bytes()
        digest = json.loads((self.run / "run.json").read_text())["digest"]
        try:
            if name == "run.json":
                file.write_bytes(mutated(whole, self._rng))
                if self._rng.random() < 0.2:
                    huge = f'{{"digest": "{digest}", "seconds": 1{"0" * 400}}}'
                    file.write_text(self._rng.choice(["[" * 10**5, huge]))
            else:
                file.write_bytes(self.archive(file)[0].read_bytes())
            found = RunFiles(self.runs).find(digest, 1)
        finally:
            file.write_bytes(whole)
        assert found is None or (len(found.clock) == len(found.trajectory) > 0)
        assert found is None or found.seconds >= 0
        self.figures["runs made again" if found is None else "runs taken"] += 1

    def event_files(self, number):
        """Event files, beside a whole one: the tab answers for all, and shows that one."""
        events = written(self.events)
        root = self.folder / f"events-{self._rng.randrange(10**9)}"
        for k in range(number):
            folder = root / f"bad-{k}"
            folder.mkdir(parents=True)
            (folder / self.events.name).write_bytes(self._events(events))
        (root / "good").mkdir()
        (root / "good" / self.events.name).write_bytes(self.events.read_bytes())
        for kind in READERS:
            with open_tab(kind, root) as tab:
                listed = tab.runs()
                for name in listed:
                    for route in ("path", "surface"):
                        address = f"{tab.prefix}/data/plugin/keras_valleys/{route}?run={name}"
                        status = tab.client.get(address).status_code
                        assert status in (200, 404), (name, route, status)
                        self.figures[f"answers of the tab {status}"] += 1
                assert tab.path("good")[0]["num_rows"] == 11
                assert tab.surface("good")["resolution"] == [31]
        self.figures["event files"] += number

    def _events(self, events):
        """The bytes of a damaged file, or of one with whole records of damaged content."""
        if self._rng.random() < 0.4:
            return mutated(self.events.read_bytes(), self._rng)
        records = []
        for event in events:
            event = event_pb2.Event.FromString(event.SerializeToString())
            for value in event.summary.value:
                plugin = value.metadata.plugin_data
                ours = value.tag.startswith("valleys/")
                if ours and self._rng.random() < 0.5:
                    self._spoil(value.tensor, plugin)
            records.append(frame(event.SerializeToString()))
        return b"".join(records)

    def _spoil(self, tensor, plugin):
        how = self._rng.randrange(5)
        if how == 0 and tensor.tensor_content:
            tensor.tensor_content = mutated(tensor.tensor_content, self._rng)
        elif how == 1:
            size = len(tensor.tensor_content)
            tensor.tensor_content = self._rng.randbytes(size)
        elif how == 2 and plugin.content:
            plugin.content = mutated(plugin.content, self._rng)
        elif how == 3:
            tensor.dtype = self._rng.randrange(30)
        else:
            for dim in tensor.tensor_shape.dim:
                dim.size = self._rng.choice((0, -1, 1, 2, 9, 10**12))

    def files(self, number):
        """So many files of all kinds."""
        for _ in range(number * 4 // 10):
            self.result()
        for _ in range(number * 2 // 10):
            self.unfinished()
        for _ in range(number * 2 // 10):
            self.facts()
        rest = number - number * 4 // 10 - 2 * (number * 2 // 10)
        while rest:
            self.event_files(min(rest, 50))
            rest -= min(rest, 50)
        self.figures["files"] += number


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("fits", "evaluations", "comparisons", "files", "seed"):
        parser.add_argument(f"--{name}", type=int, default=0)
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with tempfile.TemporaryDirectory() as folder:
        kills = Kills(folder, options.seed)
        wanted = {
            kills.fit: options.fits,
            kills.evaluate: options.evaluations,
            kills.compare: options.comparisons,
        }
        for kill, times in wanted.items():
            for number in range(times):
                kill(number)
        figures = dict(kills.figures)
        if options.files:
            damages = Damages(folder, options.seed)
            damages.files(options.files)
            figures |= damages.figures
    for name, figure in figures.items():
        print(f"{figure:>9,} {name}")


if __name__ == "__main__":
    main()
