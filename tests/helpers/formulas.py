"""Objectives that are NumPy formulas, with faults where they are asked for."""

import contextlib
import os
import signal
import time

import numpy as np

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
        # Not by `@`: there the last bit of a row may depend on the number of rows.
        a, b = (origin + np.einsum("nk,kp->np", coefficients, directions)).T
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
    return np.array(
        [
            [bowl.along(np.array([[s, t]]), directions, bowl.point())[0] for t in axes[1]]
            for s in axes[0]
        ]
    )


class Grouped(Heavy):
    group = 37


class Streamed(Heavy):
    streams = True
