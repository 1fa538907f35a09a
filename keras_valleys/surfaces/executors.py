"""Chunks of points in the workers of an executor."""

import concurrent.futures
import functools
import os
import pickle
import queue
import threading
import traceback
import warnings

import keras
import numpy as np

from keras_valleys._checks import refusal, shortened

MOST = 64  # chunks, where memory allows: each one carries the model and the data
LOADING = threading.Lock()  # warnings are filtered for all threads; and one of them is enough


def check_executor(executor):
    """Refuse what is no executor."""
    usable = not isinstance(executor, type) and callable(getattr(executor, "submit", None))
    if executor is not None and not usable:
        raise refusal(
            "evaluate",
            "`executor` to be a concurrent.futures.Executor or None",
            {"executor": executor},
            "Use ProcessPoolExecutor(4, multiprocessing.get_context('spawn')), or "
            "client.get_executor() for Dask.",
        )


def packed(objective, directions, origin):
    """Everything that a worker needs but the coefficients, as bytes."""
    try:
        return pickle.dumps((keras.config.backend(), objective, directions, origin))
    except Exception as error:  # whatever the model and the data are made of
        raise refusal(
            "evaluate",
            "an objective that can be pickled where `executor` is given",
            f"one that cannot ({type(error).__name__}: {error})",
            "Give its data as arrays, register its classes with Keras, or use executor=None.",
        ) from error


def num_chunks(executor):
    """Four chunks per worker: a slow worker holds up the others for a fourth of its share."""
    return min(4 * num_workers(executor), MOST)


def num_workers(executor):
    """The workers of an executor; as many as this machine has processors where it does not say.

    `concurrent.futures` has no public name for it, mpi4py has `num_workers`.
    """
    for name in ("num_workers", "_max_workers"):
        known = getattr(executor, name, None)
        if isinstance(known, int) and known > 0:
            return known
    return os.cpu_count() or 1


def compute(blob, rows):
    """Losses of rows, in a worker; an error of the computation itself is handed back."""
    try:
        with LOADING:
            backend, objective, directions, origin = _load(blob)
        return np.asarray(objective.along(rows, directions, origin)), None
    except Exception as error:
        error.add_note(f"In a worker of `executor`:\n{traceback.format_exc()}")
        return None, error


def gather(executor, blob, chunks, take):
    """Compute chunks in an executor, and hand each one to `take` as it comes.

    Args:
        executor: A `concurrent.futures.Executor`.
        blob: What `packed` returned.
        chunks: Pairs of a key and its rows.
        take: Called with each key and its losses.

    Returns:
        List of the keys of the chunks that were lost with their worker; with a warning.
    """
    # Not `concurrent.futures.as_completed`, which waits for ever for a future that a shutdown of
    # its executor has cancelled.
    finished: queue.SimpleQueue[concurrent.futures.Future] = queue.SimpleQueue()
    futures: dict[concurrent.futures.Future, object] = {}
    lost: list[object] = []
    reason: BaseException | None = None
    try:
        for key, rows in chunks:
            try:
                future = executor.submit(compute, blob, rows)
                future.add_done_callback(finished.put)
            except Exception as broken:  # each kind of executor has its own ways to fail
                if not futures and not isinstance(broken, concurrent.futures.BrokenExecutor):
                    raise _takes_no_work(broken) from broken
                lost.append(key)
                reason = broken
                continue
            futures[future] = key
        for _ in futures:
            future = finished.get()
            gone = future.cancelled()
            failure = concurrent.futures.CancelledError() if gone else future.exception()
            if failure is not None:  # the executor's: `compute` hands back its own
                lost.append(futures[future])
                reason = failure
                continue
            losses, fault = future.result()
            if fault is not None:
                raise fault
            take(futures[future], losses)
    finally:
        for future in futures:
            future.cancel()
    if lost:
        warnings.warn(
            f"`evaluate` lost {len(lost)} of {len(chunks)} chunks with a worker of `executor` "
            f"({type(reason).__name__}: {reason}) and computes them again in this process.",
            RuntimeWarning,
            stacklevel=2,
        )
    return lost


def _takes_no_work(error):
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    return refusal(
        "evaluate",
        "an `executor` that takes work",
        f"one that does not ({reason})",
        "Make a new one, within whose `with` block `evaluate` is called, or use executor=None.",
    )


@functools.lru_cache(maxsize=1)
def _load(blob):
    """Once per worker: a model takes longer to load than a chunk to compute."""
    with warnings.catch_warnings():
        # Of a model that was never trained; its loss needs no optimizer.
        warnings.filterwarnings("ignore", "Skipping variable loading for optimizer")
        backend, *parts = pickle.loads(blob)
    if backend != keras.config.backend():
        raise refusal(
            "evaluate",
            "workers of `executor` with the Keras backend of this process",
            f"{shortened(keras.config.backend())} there, {shortened(backend)} here",
            f"Start them with KERAS_BACKEND={backend}.",
        )
    return backend, *parts
