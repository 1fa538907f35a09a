"""Chunks, progress, checkpoints and executors: of NumPy functions, and of one Keras model."""

import concurrent.futures
import contextlib
import io
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import tracemalloc
import warnings

import keras
import numpy as np
import pytest
from cases import dense_model, rosette_model

import keras_valleys as kv
from keras_valleys._fingerprints import digest_of
from keras_valleys._progress import Checkpoint, Progress
from keras_valleys.objectives import Objective
from keras_valleys.surfaces import Surface, evaluate
from keras_valleys.surfaces.sampling import Pace, Sampler

TESTS = os.path.dirname(__file__)
EXECUTORS = {}  # that objectives in threads shut down


class Bowl:
    """A lopsided quadratic in two weights, in float64."""

    weight_names, loss_name = ["a", "b"], "bowl"
    size, fingerprint = 2, "bowl"

    def __init__(self, seconds=0.0, **faults):
        self.seconds, self.faults = seconds, faults
        self.calls = []  # numbers of rows

    def point(self):
        return np.array([0.3, -1.2])

    def along(self, coefficients, directions, origin):
        self.calls.append(len(coefficients))
        time.sleep(self.seconds * len(coefficients))
        self._fail(coefficients)
        a, b = (origin + coefficients @ directions).T
        return 3 * (a - 0.7) ** 2 + a * b + np.cosh(b)

    def _fail(self, coefficients):
        if "error_at" in self.faults and np.any(coefficients[:, 0] > self.faults["error_at"]):
            raise ZeroDivisionError("no loss there")
        if sum(self.calls) > self.faults.get("interrupt_after", np.inf):
            raise KeyboardInterrupt
        if "shut_down" in self.faults:
            EXECUTORS[self.faults["shut_down"]].shutdown(wait=False, cancel_futures=True)
        if "kill_once" in self.faults and os.getpid() != self.faults["parent"]:
            with contextlib.suppress(FileExistsError):
                os.close(os.open(self.faults["kill_once"], os.O_CREAT | os.O_EXCL))
                os.kill(os.getpid(), signal.SIGKILL)


class Heavy(Bowl):
    """One that says that a point is a lot of work, so that it comes in chunks."""

    num_rows = 2e7


AXES = [np.linspace(-1.1, 2.3, 23), np.linspace(-0.4, 3.1, 14)]
PLANE = dict(directions=[[1.0, 0.2], [-0.3, 0.9]], coordinates=AXES)


def expected(axes=AXES):
    bowl, directions = Bowl(), np.array(PLANE["directions"])
    return np.array([
        [bowl.along(np.array([[s, t]]), directions, bowl.point())[0] for t in axes[1]]
        for s in axes[0]
    ])  # fmt: skip


def rosette_objective(**options):
    (x, y), _ = kv.datasets.rosette()
    return Objective(rosette_model(), x, y, **options)


# Chunks


@pytest.mark.parametrize("kind, least", [(Bowl, 1), (Heavy, 2)])
def test_chunks_are_one_call(kind, least):
    objective = kind()
    surface = evaluate(objective, **PLANE)
    np.testing.assert_array_equal(surface.losses, expected())
    assert len(objective.calls) >= least
    assert surface.details["num_points"] == surface.losses.size == 23 * 14


@pytest.mark.parametrize("made", [rosette_objective, lambda: Objective(*line())])
def test_any_chunks_of_a_model_are_bit_equal(made):
    objective = made()
    directions = np.linspace(0.4, 1.7, objective.size)
    x = np.linspace(-1.3, 1.4, 700)
    whole = objective.along(x[:, None], directions[None], np.zeros(objective.size))
    few = evaluate(objective, directions, coordinates=x, origin=np.zeros(objective.size))
    np.testing.assert_array_equal(few.losses, whole)
    objective.num_rows = 2e7  # so that it looks like work
    many = evaluate(objective, directions, coordinates=x, origin=np.zeros(objective.size))
    np.testing.assert_array_equal(many.losses, whole)


def line():
    (x, y), _ = kv.datasets.straight_line(num_points=60)
    return dense_model(), x, y


class Grouped(Heavy):
    group = 37


def test_chunks_start_at_whole_groups():
    objective = Grouped()
    surface = evaluate(objective, **PLANE)
    np.testing.assert_array_equal(surface.losses, expected())
    assert all(calls % 37 == 0 for calls in objective.calls[:-1]) and len(objective.calls) > 1


def test_slow_points_come_in_chunks_of_half_a_second():
    objective = Heavy(seconds=0.01)
    evaluate(objective, [1.0, 0.5], coordinates=np.linspace(-1, 2.5, 290), verbose=0)
    assert objective.calls[0] == 25  # 1e9 / (2 * 2e7)
    assert len(objective.calls) >= 4 and max(objective.calls) <= 128


class Streamed(Heavy):
    streams = True


def test_a_data_set_on_disk_is_read_once():
    objective = Streamed()
    np.testing.assert_array_equal(evaluate(objective, **PLANE).losses, expected())
    assert objective.calls == [23 * 14]


@pytest.mark.parametrize("seconds", [1e-6, 1e-3, 0.3])
@pytest.mark.parametrize("num", [1, 7, 441, 30_011])
@pytest.mark.skipif(keras.config.backend() != "jax", reason="JAX compiles for each size")
def test_jax_compiles_for_few_sizes_and_computes_few_points_twice(num, seconds):
    pace, left, sizes = Pace(Heavy(), 1), num, []
    while left > 0:
        size = pace.next_size(left)
        pace.took(size, size * seconds + (0 if size in sizes else 0.4))
        sizes.append(size)
        left -= size
    assert len(set(sizes)) <= 6
    assert -left * seconds <= 0.5 or len(set(sizes)) == 1


def test_memory_stays_flat():
    def peak(num):
        x = np.linspace(-1.1, 2.3, num)
        tracemalloc.start()
        evaluate(Bowl(), [1.0, 0.5], coordinates=x)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(100)
    assert peak(100_000) < 10e6
    assert Pace(Heavy(), 2).next_size(10**8) <= 2**21


# Progress


def test_short_work_is_silent_and_a_bar_can_be_had(capsys):
    evaluate(Bowl(), **PLANE)
    evaluate(Heavy(), **PLANE, verbose=0)
    assert capsys.readouterr() == ("", "")
    evaluate(Bowl(), **PLANE, verbose=1)
    text = capsys.readouterr().out
    assert text.startswith("322 points\n") and "322/322" in text


def test_long_work_is_announced_and_shown_in_ten_lines(capsys):
    progress = Progress("auto", 900, 1000)
    for _ in range(900):
        progress.add(1, 0.02)
    text = capsys.readouterr().out
    assert text.startswith("1000 points, 100 of them found in the checkpoint, about 18 s left\n")
    assert text.count("/900 points") == 10 and text.count("\n") == 11
    assert "\n450/900 points, about 9 s left\n" in text
    progress = Progress("auto", 900, 900)
    for _ in range(900):
        progress.add(1, 0.002)
    assert capsys.readouterr().out == ""


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_in_a_terminal_it_is_the_bar_of_keras(monkeypatch):
    monkeypatch.setattr(sys, "stdout", Terminal())
    progress = Progress(1, 30, 30)
    for _ in range(3):
        progress.add(10, 0.5)
    text = sys.stdout.getvalue()
    assert text.startswith("30 points, about 10 s left\n")
    assert "10/30" in text and "30/30" in text and "/point" in text and text.count("\n") == 2


def test_where_keras_logs_are_off_so_is_the_line(capsys):
    keras.config.disable_interactive_logging()
    try:
        evaluate(Bowl(), **PLANE, verbose=1)
    finally:
        keras.config.enable_interactive_logging()
    assert "points" not in capsys.readouterr().out


# Checkpoints


@pytest.mark.parametrize("interrupt_after", [1, 90, 170, 300])
def test_after_an_interrupt_it_goes_on(tmp_path, interrupt_after):
    path = tmp_path / "surface.partial.npz"
    with pytest.raises(KeyboardInterrupt):
        evaluate(Heavy(interrupt_after=interrupt_after), **PLANE, checkpoint=path)
    second = Heavy()
    surface = evaluate(second, **PLANE, checkpoint=path)
    np.testing.assert_array_equal(surface.losses, expected())
    assert surface.losses.dtype == np.float64
    assert interrupt_after == 1 or sum(second.calls) < 322
    third = Heavy()
    surface = evaluate(third, **PLANE, checkpoint=path)
    np.testing.assert_array_equal(surface.losses, expected())
    assert third.calls == [] and os.listdir(tmp_path) == [path.name]


def test_after_a_kill_it_goes_on(tmp_path):
    path = tmp_path / "surface.partial.npz"
    code = f"""
import sys
sys.path.insert(0, {TESTS!r})
import test_sampling as t
t.evaluate(t.Heavy(seconds=0.02), **t.PLANE, checkpoint={str(path)!r}, verbose=0)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    try:
        while process.poll() is None and not _finished(path):
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
    found = _finished(path)
    assert 0 < found < 322
    second = Heavy()
    surface = evaluate(second, **PLANE, checkpoint=path)
    np.testing.assert_array_equal(surface.losses, expected())
    assert sum(second.calls) >= 322 - found and sum(second.calls) < 322


def _finished(path):
    if not path.exists():
        return 0
    with np.load(path) as archive:
        return int(archive["finished"].sum())


def test_a_model_goes_on_bit_equal(tmp_path):
    path = tmp_path / "surface.partial.npz"
    objective = rosette_objective()
    phi = np.linspace(-1.3, 1.4, 600)
    whole = evaluate(objective, coordinates=phi)
    plane = (np.eye(1), np.zeros(1))
    identity = digest_of(objective, phi, *plane, "None")
    part = Checkpoint(path, identity)
    part.begin(600)
    aligned = slice(256, 512)
    part.put(np.arange(600)[aligned], whole.losses[aligned])
    part.write()
    surface = evaluate(objective, coordinates=phi, checkpoint=path)
    np.testing.assert_array_equal(surface.losses, whole.losses)
    assert _finished(path) == 600


class Signed(Bowl):
    def __init__(self, text):
        super().__init__()
        self.text = text

    def signature(self):
        return self.text


@pytest.mark.parametrize(
    "options",
    [
        {"coordinates": [AXES[0], AXES[1] + 1e-9]},
        {"directions": [[1.0, 0.2], [-0.3, 0.8]]},
        {"origin": [0.3, -1.1]},
        {"objective": Signed("another")},
    ],
)
def test_a_checkpoint_of_other_settings_is_refused_before_any_work(tmp_path, options):
    path = tmp_path / "surface.partial.npz"
    arguments = {"objective": Signed("one"), **PLANE, "checkpoint": path}
    evaluate(**arguments)
    arguments.update(options)
    before = path.read_bytes()
    objective = arguments["objective"]
    objective.calls.clear()
    with pytest.raises(ValueError, match="of the same model, weights, data.*Remove that file"):
        evaluate(**arguments)
    assert objective.calls == [] and path.read_bytes() == before


@pytest.mark.parametrize("kind", ["rubbish", "torn", "surface", "folder"])
def test_a_file_that_is_no_checkpoint_is_refused_and_kept(tmp_path, kind):
    path = tmp_path / "surface.partial.npz"
    surface = evaluate(Bowl(), **PLANE, checkpoint=path)
    if kind == "rubbish":
        path.write_bytes(b"PK")
    elif kind == "torn":
        path.write_bytes(path.read_bytes()[:-300])
    elif kind == "surface":
        surface.save(path)
    else:
        path.unlink()
        path.mkdir()
    before = path.read_bytes() if path.is_file() else None
    objective = Bowl()
    with pytest.raises(ValueError, match="a file that it wrote itself.*damaged or of another kind"):
        evaluate(objective, **PLANE, checkpoint=path)
    assert objective.calls == []
    assert before is None or path.read_bytes() == before


def test_an_unwritable_path_is_refused_before_any_work(tmp_path):
    objective = Bowl()
    for path in (tmp_path / "missing" / "surface.npz", ""):
        with pytest.raises(OSError, match="a path where a file can be written.*Make its folder"):
            evaluate(objective, **PLANE, checkpoint=path)
    with pytest.raises(ValueError, match="`checkpoint` to be the path of a file or None"):
        evaluate(objective, **PLANE, checkpoint=7)
    assert objective.calls == []


def test_a_folder_that_vanishes_costs_the_checkpoint_only(tmp_path):
    folder = tmp_path / "short"
    folder.mkdir()
    checkpoint = Checkpoint(folder / "surface.npz", "")
    (folder / "surface.npz").unlink()
    folder.rmdir()
    plane = (np.array([[1.0, 0.5]]), np.zeros(2))
    sampler = Sampler(Bowl(), *plane, checkpoint=checkpoint, verbose=0, executor=None)
    with pytest.warns(RuntimeWarning, match="could not write its checkpoint"):
        losses = sampler(lambda i: i[:, None] / 7, 50)
    exact = Bowl().along(np.arange(50)[:, None] / 7, *plane)
    np.testing.assert_array_equal(losses, exact)


# Executors


@pytest.fixture
def threads():
    with concurrent.futures.ThreadPoolExecutor(3) as executor:
        yield executor


@pytest.mark.parametrize("kind", [Bowl, Grouped, Streamed])
def test_threads_compute_what_one_does(threads, kind, tmp_path):
    path = tmp_path / "surface.partial.npz"
    surface = evaluate(kind(), **PLANE, executor=threads, checkpoint=path)
    np.testing.assert_array_equal(surface.losses, expected())
    assert _finished(path) == 322
    objective = kind()
    np.testing.assert_array_equal(
        evaluate(objective, **PLANE, checkpoint=path).losses, surface.losses
    )
    assert objective.calls == []


def test_a_model_that_was_never_trained_travels_without_a_warning(threads):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("adam", "mean_squared_error")
    objective = Objective(model, np.ones((5, 2)), np.zeros((5, 1)))
    options = dict(directions=np.eye(1, 3), coordinates=np.linspace(-1, 2, 7), verbose=0)
    found = evaluate(objective, **options, executor=threads)
    np.testing.assert_allclose(found.losses, evaluate(objective, **options).losses, rtol=1e-6)


def test_an_error_of_the_computation_is_raised_as_it_is(threads, tmp_path):
    path = tmp_path / "surface.partial.npz"
    with pytest.raises(ZeroDivisionError, match="no loss there") as caught:
        evaluate(Bowl(error_at=2.0), **PLANE, executor=threads, checkpoint=path)
    assert "In a worker of `executor`" in caught.value.__notes__[0]
    with pytest.raises(ZeroDivisionError, match="no loss there"):
        evaluate(Heavy(error_at=2.0), **PLANE)


def test_chunks_that_were_cancelled_are_computed_here():
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        EXECUTORS["one"] = executor
        try:
            with pytest.warns(RuntimeWarning, match="lost [123] of [34] chunks .* computes them"):
                surface = evaluate(Bowl(shut_down="one"), **PLANE, executor=executor)
        finally:
            del EXECUTORS["one"]
    np.testing.assert_array_equal(surface.losses, expected())
    with pytest.raises(RuntimeError, match="after shutdown"):
        evaluate(Bowl(), **PLANE, executor=executor)


def test_an_objective_that_cannot_be_pickled_is_refused(threads):
    objective = Bowl(lock=open)
    objective.faults["lock"] = lambda: None
    with pytest.raises(ValueError, match="can be pickled where `executor` is given"):
        evaluate(objective, **PLANE, executor=threads)
    assert objective.calls == []


def spawned():
    return concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context("spawn"))


def test_processes_compute_what_one_does_and_a_killed_one_loses_no_point(tmp_path):
    objective = rosette_objective()
    phi = np.linspace(-1.3, 1.4, 90)
    alone = evaluate(objective, coordinates=phi, refine=1e-2)
    deadly = Bowl(kill_once=str(tmp_path / "killed"), parent=os.getpid())
    path = tmp_path / "surface.partial.npz"
    with spawned() as executor:
        shared = evaluate(objective, coordinates=phi, refine=1e-2, executor=executor)
        with pytest.raises(ZeroDivisionError, match="no loss there"):
            evaluate(Bowl(error_at=2.0), **PLANE, executor=executor)
        with pytest.warns(RuntimeWarning, match="computes them again") as seen:
            surface = evaluate(deadly, **PLANE, executor=executor, checkpoint=path)
    np.testing.assert_array_equal(shared.coordinates[0], alone.coordinates[0])
    np.testing.assert_allclose(shared.losses, alone.losses, rtol=1e-6)  # torch groups anew
    if objective.group == 1:
        np.testing.assert_array_equal(shared.losses, alone.losses)
    assert len(seen) == 1 and os.path.exists(tmp_path / "killed")
    np.testing.assert_array_equal(surface.losses, expected())
    assert _finished(path) == 322


def test_dask_computes_what_one_does_and_a_killed_worker_loses_no_point(tmp_path):
    distributed = pytest.importorskip("distributed")
    import dask

    objective = Bowl(kill_once=str(tmp_path / "killed"), parent=os.getpid())
    settings = {
        "distributed.scheduler.allowed-failures": 0,
        "distributed.worker.daemon": True,
        "distributed.admin.large-graph-warning-threshold": "1GB",
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the cluster's own
        with (
            dask.config.set(settings),
            distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None) as cluster,
            distributed.Client(cluster) as client,
        ):
            first = evaluate(Bowl(), **PLANE, executor=client.get_executor())
            with pytest.warns(RuntimeWarning, match="KilledWorker.* computes them again"):
                second = evaluate(objective, **PLANE, executor=client.get_executor())
    for surface in (first, second):
        np.testing.assert_array_equal(surface.losses, expected())


# Bad input and details


@pytest.mark.parametrize(
    "options, message",
    [
        ({"verbose": 2}, "`verbose` to be 'auto', 0 or 1"),
        ({"executor": 4}, "`executor` to be a concurrent.futures.Executor"),
        ({"refine": 0.0}, "`refine` to be a tolerance > 0"),
        ({"refine": True}, "`refine` to be a tolerance > 0"),
        ({"refine": "fine"}, "`refine` to be a tolerance > 0"),
        ({"refine": 1e-3}, "one coordinate array where `refine` is given"),
        ({"directions": "ab"}, "`directions` to be an array of numbers"),
        ({"origin": ["a", "b"]}, "`origin` to be an array of numbers"),
        ({"coordinates": "ab"}, "`coordinates` to be an array of numbers"),
        ({"labels": ["only one"]}, "Make the shapes agree"),
    ],
)
def test_bad_input_is_refused_before_any_work(options, message, tmp_path):
    objective = Bowl()
    path = tmp_path / "surface.partial.npz"
    with pytest.raises(ValueError, match=message):
        evaluate(objective, **{**PLANE, "checkpoint": path, **options})
    assert objective.calls == [] and not path.exists()


class Pair:
    """What `keras_valleys.directions` returns, as far as surfaces look at it."""

    vectors = np.array([[1.0, 0.2], [-0.3, 0.9]])
    labels = ("first", "second")
    details = {"kind": "random", "seed": np.int64(3)}


def test_a_surface_says_where_it_comes_from(tmp_path):
    surface = evaluate(Bowl(), Pair(), coordinates=AXES)
    np.testing.assert_array_equal(surface.directions, Pair.vectors)
    assert surface.labels == Pair.labels
    assert surface.details["data"] == "bowl" and surface.details["num_points"] == 322
    assert surface.details["directions"] == {"kind": "random", "seed": 3}
    versions = surface.details["versions"]
    assert versions["keras"] == keras.__version__ and versions["numpy"] == np.__version__
    assert versions["keras_valleys"] == kv.__version__
    assert versions["backend"].startswith(keras.config.backend())
    surface.save(tmp_path / "surface.npz")
    assert Surface.load(tmp_path / "surface.npz").details == surface.details
    assert evaluate(Bowl(), Pair(), coordinates=AXES, labels=["u", "v"]).labels == ("u", "v")
    assert evaluate(Bowl(), **PLANE).details["directions"] == {"kind": "given"}
    assert evaluate(Bowl(), coordinates=AXES).details["directions"] == {"kind": "weights"}


def test_a_file_of_an_older_version_has_no_details(tmp_path):
    surface = evaluate(Bowl(), **PLANE)
    surface.save(tmp_path / "new.npz")
    with np.load(tmp_path / "new.npz") as archive:
        fields = {name: archive[name] for name in archive.files if name != "details"}
    np.savez(tmp_path / "old.npz", **fields)
    old = Surface.load(tmp_path / "old.npz")
    assert old.details == {}
    np.testing.assert_array_equal(old.losses, surface.losses)


@pytest.mark.parametrize("details", [{"model": object()}, ["a"], {"k": {1, 2}}])
def test_details_that_json_cannot_hold_are_refused(details):
    with pytest.raises(ValueError, match="`details` to be a dictionary of what JSON can hold"):
        Surface(np.zeros(3), [[0, 1, 3]], [[1.0]], [0.0], details=details)
