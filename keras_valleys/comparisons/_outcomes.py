"""What a finished path amounts to: its losses, its valley, and whether it arrived."""

import math
import statistics

import numpy as np

from keras_valleys.trajectories import project
from keras_valleys.valleys import derailments


def rows(jobs, fits, valleys, tolerance):
    """What a `Run` holds, for each job, and the learning rate that each optimizer is shown with.

    Returns:
        List of dictionaries, and a dictionary of labels to rates.
    """
    measured = [measure(fit, valleys) for fit, _ in fits]
    chosen = _choose(jobs, [fields for fields, _ in measured])
    finals = [
        fields["final_loss"]
        for job, (fields, _) in zip(jobs, measured, strict=True)
        if chosen[job.candidate.label] == job.rate and fields["status"] == "finished"
    ]
    lowest = min(finals, default=math.nan)
    found = []
    for job, (fit, folder), (fields, places) in zip(jobs, fits, measured, strict=True):
        arrived = _arrival(fit, fields, places, valleys, target=lowest, tolerance=tolerance)
        row = {
            "optimizer": job.candidate.label, "learning_rate": job.shown_rate, "start": job.start,
            "seed": job.seed, **fields, **arrived, "seconds": fit.seconds,
            "log_dir": None if folder is None else str(folder), "trajectory": fit.trajectory,
        }  # fmt: skip
        found.append(row)
    return found, chosen


def _choose(jobs, measured):
    """The rate with the lowest median of the final losses, the smaller of equal ones."""
    finals = {}
    for job, fields in zip(jobs, measured, strict=True):
        known = fields["final_loss"] if fields["status"] == "finished" else math.inf
        finals.setdefault(job.candidate.label, {}).setdefault(job.rate, []).append(known)
    return {
        label: min(by_rate, key=lambda rate: (median(by_rate[rate]), rate or 0.0))
        for label, by_rate in finals.items()
    }


def summary(label, taken, counted):
    """What a `Summary` holds of the rows of an optimizer, of which some count."""
    own = [row for row in taken if row["optimizer"] == label]
    counted = [row for row in counted if row["optimizer"] == label]
    best = [row["best_loss"] for row in own if not math.isnan(row["best_loss"])]
    derailed = [row["derailments"] for row in own if row["derailments"] is not None]
    arrived = [row["steps_to_floor"] for row in own if row["steps_to_floor"] is not None]
    return {
        "optimizer": label,
        "learning_rate": own[0]["learning_rate"],
        "num_runs": len(counted),
        "num_successes": sum(row["success"] for row in counted),
        "num_diverged": sum(row["status"] == "diverged" for row in own),
        "num_failed": sum(row["status"] == "failed" for row in own),
        "final_loss": median([_final(row) for row in own]),
        "best_loss": min(best, default=math.nan),
        "derailments": statistics.mean(derailed) if derailed else None,
        "steps_to_floor": float(statistics.median(arrived)) if arrived else None,
        "seconds": statistics.mean(row["seconds"] for row in own),
    }


def rank(one):
    """A key to sort summaries by, the best first."""
    return -one["num_successes"] / one["num_runs"], one["final_loss"], one["optimizer"]


def in_order(labels):
    """Function that sorts rows by these labels, then learning rate, start and seed."""
    place = {label: k for k, label in enumerate(labels)}

    def key(row):
        rate = row["learning_rate"] if isinstance(row["learning_rate"], float) else 0.0
        return place[row["optimizer"]], rate, row["start"], row["seed"]

    return lambda unsorted: sorted(unsorted, key=key)


def measure(fit, valleys):
    """Status, losses and valley of a fit, and the valley of each row of its path.

    Returns:
        Dictionary of fields, and an array of shape `(T+1,)` or `None`.
    """
    path = fit.trajectory
    losses = path.losses
    finite = np.isfinite(losses) & np.all(np.isfinite(path.weights), axis=1)
    status, reason = "finished", ""
    if fit.error:
        status, reason = "failed", fit.error
    elif not len(path) or not finite[-1]:
        first = int(path.steps[np.argmin(finite)]) if len(path) else 0
        status, reason = "diverged", f"the loss is not finite from step {first} on"
    known = np.flatnonzero(finite)
    best = known[np.argmin(losses[known])] if known.size else None
    fields = {
        "status": status,
        "reason": reason,
        "final_loss": number(losses[-1]) if len(path) else math.nan,
        "best_loss": math.nan if best is None else number(losses[best]),
        "best_step": None if best is None else int(path.steps[best]),
        "valley": None,
        "derailments": None,
    }
    if valleys is None or not len(path):
        return fields, None
    places = valleys.at(project(path.weights, valleys.surface))
    fields["derailments"] = len(derailments(path, valleys))
    if status != "failed" and places[-1] >= 0:
        fields["valley"] = int(places[-1])
    return fields, places


def _arrival(fit, fields, places, valleys, *, target, tolerance):
    """Whether a run succeeded, and when it came within the tolerance of the floor.

    Without valleys the floor is the target, the lowest final loss of all runs.
    """
    near = fit.trajectory.losses <= target + tolerance
    success = fields["status"] == "finished" and fields["final_loss"] <= target + tolerance
    if valleys is not None:
        valley = fields["valley"]
        success = fields["status"] == "finished" and valley is not None
        success = success and valleys[valley].loss <= valleys[0].loss + tolerance
        near = np.zeros(len(near), bool)
        if valley is not None:
            floor = valleys[valley].loss
            near = (places == valley) & (fit.trajectory.losses <= floor + tolerance)
    row = int(np.argmax(near)) if near.any() else None
    return {
        "success": bool(success),
        "steps_to_floor": None if row is None else int(fit.trajectory.steps[row]),
        "seconds_to_floor": None if row is None else number(fit.clock[row]),
    }


def median(losses):
    """The median, where what is not finite is higher than all."""
    return statistics.median(loss if math.isfinite(loss) else math.inf for loss in losses)


def _final(row):
    return row["final_loss"] if row["status"] == "finished" else math.inf


def number(value):
    """A plain number; all that are NaN are one, so that equal rows are equal."""
    value = float(value)
    return math.nan if math.isnan(value) else value
