"""Threads, processes and Dask compute what one process does, also where they die."""

import concurrent.futures
import multiprocessing
import os
import warnings

import keras
import numpy as np
import pytest

from helpers.checkpoints import finished
from helpers.formulas import EXECUTORS, PLANE, Bowl, Grouped, Heavy, Streamed, expected
from helpers.objectives import rosette_objective
from keras_valleys.objectives import Objective
from keras_valleys.surfaces import evaluate


@pytest.fixture
def threads():
    with concurrent.futures.ThreadPoolExecutor(3) as executor:
        yield executor


@pytest.mark.parametrize("kind", [Bowl, Grouped, Streamed])
def test_threads_compute_what_one_does(threads, kind, tmp_path):
    path = tmp_path / "surface.partial.npz"
    surface = evaluate(kind(), **PLANE, executor=threads, checkpoint=path)
    np.testing.assert_array_equal(surface.losses, expected())
    assert finished(path) == 322
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
    with pytest.raises(
        ValueError, match="an `executor` that takes work.*after shutdown.*a new one"
    ):
        evaluate(Bowl(), **PLANE, executor=executor)


class Refuses:
    """An executor that takes so many chunks and then raises, or gives something else."""

    def __init__(self, executor, taken, how):
        self.executor, self.taken, self.how = executor, taken, how

    def submit(self, *call):
        self.taken -= 1
        if self.taken >= 0:
            return self.executor.submit(*call)
        if isinstance(self.how, Exception):
            raise self.how
        return self.how


@pytest.mark.parametrize("how", [OSError("no process"), TypeError("cannot send"), "no future"])
def test_an_executor_that_takes_no_work_is_told_and_what_is_computed_stays(how, threads, tmp_path):
    path = tmp_path / "surface.partial.npz"
    with pytest.raises(ZeroDivisionError):
        evaluate(Heavy(error_at=2.0), **PLANE, checkpoint=path)
    before = finished(path)
    with pytest.raises(
        ValueError, match="`evaluate` expects an `executor` that takes work"
    ) as told:
        evaluate(Heavy(), **PLANE, executor=Refuses(threads, 0, how), checkpoint=path)
    assert str(how) in str(told.value) or how == "no future"
    assert finished(path) == before > 0
    with pytest.warns(RuntimeWarning, match="lost .* computes them again in this process"):
        surface = evaluate(Heavy(), **PLANE, executor=Refuses(threads, 1, how), checkpoint=path)
    np.testing.assert_array_equal(surface.losses, expected())
    with pytest.raises(ValueError, match="`executor` to be a concurrent.futures.Executor"):
        evaluate(Bowl(), **PLANE, executor=concurrent.futures.ThreadPoolExecutor)


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
    assert finished(path) == 322


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
