"""The plane of a run's own path, sampled again and again while the path grows."""

import contextlib
import dataclasses
import math
import time
from typing import Any

import numpy as np

from keras_valleys._checks import refusal
from keras_valleys._linalg import orthonormal, turned_towards
from keras_valleys.callbacks.kept_rows import KeptRows
from keras_valleys.directions import Directions, principal
from keras_valleys.objectives import Objective, SomeRows
from keras_valleys.surfaces import Surface, evaluate, loss_at, seconds_per_point
from keras_valleys.trajectories import Trajectory, span
from keras_valleys.valleys import Valleys, check_persistence, find_valleys

# Points of a plane, from what is the least to be seen to what is as fine as a picture shows.
GRIDS = ((9, 7), (13, 11), (17, 13), (21, 17), (31, 25), (41, 33), (51, 41))
CURVES = (31, 61, 101, 201, 301)  # points of the surface of a single weight
AIM = 775  # points of the final plane, for which rows are chosen
FIRST_ROWS, FEWEST_ROWS = 256, 16  # of the data
LEAST_SECONDS = 3.0  # for what is made when fit has ended
FINAL_SHARE = 0.6  # of the seconds that are left at the end, for the final plane
COMPILED = 2.0  # times what it takes to make an objective: a guess of what compiling takes
OVERHEAD = 0.6  # seconds of a picture, until one was made
PATH_NUMBERS = 2**28  # products that the principal directions may take
MOST_PATH_ROWS = 512  # for them
MOST_SHOWN = 1000  # rows of the path in a moment that is not the last
FAR = 10.0  # times as far from the start as where a run is no worse: there it has blown up
WIDTH = 1.35  # of a plane, of its height, as the pictures have
LABELS = ("path direction 1", "path direction 2")
MOST_WIDER = 3  # times that the final plane is sampled further
WIDER = 0.5  # of the extent, on the side where the surface still falls


@dataclasses.dataclass(frozen=True)
class Moment:
    """The plane of the path up to a step.

    Attributes:
        step: The step.
        surface: Its `Surface`.
        valleys: The surface's `Valleys`.
        losses: From names such as "train" and "validation" to the losses at the weights then.
        share: Share of the path's variance that lies in the plane, NaN where the plane is no
            principal one.
        until: Step of the last row that it is of: an earlier one where the run has blown up since.
        is_last: Whether it is the one after fit.
        held_loss: Of the last one, the loss with the statistics that the model has; `None` where
            that is the surface's.
    """

    step: int
    surface: Surface
    valleys: Valleys
    losses: dict[str, float]
    share: float
    until: int
    is_last: bool = False
    held_loss: float | None = None


class OwnPlanes:
    """Makes moments of a run within a share of the time that it takes.

    Args:
        owner: Name of the board, for error messages.
        data: As for `SurfaceBoard`.
        validation: As for `SurfaceBoard`.
        budget: Share of fit's time.
        memory: Bytes for the path.
        persistence: As for `find_valleys`.
    """

    def __init__(self, owner, data, validation, budget, memory, persistence):
        check_persistence(owner, persistence)
        self._owner, self.budget, self._persistence = owner, float(budget), persistence
        self.data = SomeRows(owner, data)
        self.validation = None if validation is None else SomeRows(owner, validation)
        self.path = KeptRows(owner, memory)
        self.directions: Any = None  # of the last moment, `Directions`
        self._objectives: dict[str, Objective] = {}
        self._rows_are_chosen = False
        self._begin = self._spent = 0.0
        self._point_seconds, self._overhead = 0.0, OVERHEAD
        self._build_seconds = 0.0

    def __getstate__(self):
        # Compiled functions are not copied, but made anew at the begin of the next fit.
        return {**self.__dict__, "_objectives": {}, "_rows_are_chosen": False}

    @property
    def is_ready(self) -> bool:
        """Whether the model was met."""
        return bool(self._objectives)

    @property
    def objective(self) -> Objective:
        """That of the surfaces."""
        return self._objectives["train"]

    def fit_begin(self):
        """Count from now on the time of a fit."""
        self._begin, self._spent = time.perf_counter(), 0.0

    def meet(self, model):
        """Make objectives of a built model, which refuse what has no surface."""
        if "train" in self._objectives and self.objective.model is model:
            return
        begin = time.perf_counter()
        self._make_objectives(model, FIRST_ROWS)
        if self.objective.model is not model or self.objective.is_partial:
            raise refusal(
                self._owner,
                "`data` to be an objective over all trainable weights of the model that is trained",
                "one of another model, or of some of its weights",
                "Use data=(x, y), from which it is made.",
            )
        self._build_seconds = time.perf_counter() - begin
        self._spent += self._build_seconds

    def moments(self, step, whole):
        """The plane of the path up to a step that is kept; nothing where there is no time for it.

        Args:
            step: The step.
            whole: How many times as long as until now fit will take.
        """
        if not self._is_affordable(whole):
            return
        begin = time.perf_counter()
        yield from self._made(step, self._left(), most=GRIDS[3])
        self._spent += time.perf_counter() - begin  # with what was done with it meanwhile

    def _is_affordable(self, whole):
        if not self._rows_are_chosen:
            if COMPILED * self._build_seconds > self._left():
                return False
            begin = time.perf_counter()
            self._choose_rows(whole)  # compiles, so that it is known what a point takes
            self._spent += time.perf_counter() - begin
        return self._overhead + math.prod(GRIDS[0]) * self._point_seconds <= self._left()

    def last_moments(self, steps):
        """Those of some steps, as there is time, and the final one.

        Args:
            steps: Steps of rows that are kept, for which there was no time before.
        """
        self._choose_rows(1.0)
        seconds = max(self._left(), LEAST_SECONDS)
        each = self._overhead + math.prod(GRIDS[1]) * self._point_seconds
        number = min(len(steps), int((1 - FINAL_SHARE) * seconds / each))
        chosen = [steps[round(k)] for k in np.linspace(0, len(steps) - 1, number)]
        for step in dict.fromkeys(chosen):
            yield from self._made(step, each, most=GRIDS[1])
        last = self.path.rows[-1].step
        for final in self._made(last, FINAL_SHARE * seconds, most=GRIDS[-1], is_last=True):
            yield dataclasses.replace(final, is_last=True, held_loss=self._held_loss())

    def in_words(self, moment):
        """What a moment shows, in a sentence or two."""
        plane = "The surface of the weights themselves"
        if self.objective.size > 2:
            held = (
                "" if math.isnan(moment.share) else f": {100 * moment.share:.3g} % of its variance"
            )
            so_far = "so far" if moment.until == moment.step else f"up to step {moment.until}"
            plane = f"The plane of the path {so_far}{held}"
        return f"{plane}. Loss of {self._rows_in_words('train')}{self._statistics_in_words()}."

    def report(self, moment):
        """Rows of a table in Markdown about the final plane."""
        plane = "the weights themselves"
        if self.objective.size > 2:
            held = f", which hold {100 * moment.share:.3g} % of its variance"
            plane = f"the path's principal directions{'' if math.isnan(moment.share) else held}"
        losses = f"{self._rows_in_words('train')}{self._statistics_in_words()}"
        lines = [f"| the axes are | {plane} |", f"| the surface is the loss of | {losses} |"]
        for name, loss in moment.losses.items():
            lines.append(f"| {name} loss | {loss:.6g} ({self._rows_in_words(name)}) |")
        if len(moment.losses) > 1:
            gap = moment.losses["validation"] - moment.losses["train"]
            lines.append(f"| validation minus train | {gap:+.6g} |")
        if moment.held_loss is not None:
            own = f"{moment.held_loss:.6g}"
            lines.append(f"| train loss with the model's own statistics | {own} |")
        if moment.until < moment.step:
            lines.append(f"| the axes are of the path up to | step {moment.until}: it blew up |")
        return lines

    def _held_loss(self):
        """The loss at the model's present weights with the statistics that it has, if others count.

        That is what `model.evaluate` gives on these rows; `None` where it is the surface's loss.
        """
        objective = self.objective
        affordable = self._build_seconds < max(self._left(), LEAST_SECONDS) / 2
        if objective.statistics == "held" or not objective.statistics_sentence or not affordable:
            return None
        held = objective.with_statistics("held")
        return loss_at(held, held.point())

    def _rows_in_words(self, name):
        source: Any = self.data if name == "train" else self.validation
        number = self._objectives[name].num_rows
        if source.num_rows == number:
            return f"all {number} rows"
        if source.num_rows is None:
            return f"the first {number} rows"
        return f"{number} of {source.num_rows} rows"

    def _statistics_in_words(self):
        sentence = self.objective.statistics_sentence
        return f", {sentence}" if sentence else ""

    def _left(self):
        return self.budget * (time.perf_counter() - self._begin) - self._spent

    def _make_objectives(self, model, most_rows):
        self._objectives["train"] = self.data.objective(model, most_rows, "batch")
        if self.validation is not None:
            self._objectives["validation"] = self.validation.objective(model, most_rows, "batch")

    def _choose_rows(self, whole):
        """Take as many rows of the data as there will be time for, once the time is known.

        Args:
            whole: How many times as long as until now fit will take.
        """
        if self._rows_are_chosen:
            return
        self._rows_are_chosen = True
        self._measure_points()
        if self.data.is_whole:
            return
        allowed = self.budget * (time.perf_counter() - self._begin) * whole
        seconds = FINAL_SHARE * max(allowed, LEAST_SECONDS)
        few = self.objective.num_rows
        wanted = seconds / AIM / self._point_seconds * few
        total = self.data.num_rows or wanted
        wanted = int(min(max(wanted, FEWEST_ROWS), total))
        if not few / 2 < wanted < few * 2 and self._build_seconds < seconds / 3:
            self._make_objectives(self.objective.model, wanted)
            self._measure_points()

    def _measure_points(self):
        """Find out what a point of the surface takes; the first call compiles."""
        self._point_seconds = seconds_per_point(self.objective)

    def _made(self, step, seconds, most, is_last=False):
        """A list of the `Moment` of a step; empty where no row up to there is finite."""
        begin = time.perf_counter()
        rows = [row for row in self.path.rows if row.step <= step]
        near = _near(rows)
        if not near:
            return []
        grid = self._grid(seconds - self._overhead, GRIDS[is_last], most)
        found = origin = None
        if self.objective.size > 2:
            found = self._directions(near)
            origin = _foot(near, found)
        axes = self._coordinates(near, found, origin, grid)
        surface = self._evaluated(found, axes, origin)
        for _ in range(MOST_WIDER * is_last):
            wider = _wider(surface)
            if wider is None or time.perf_counter() - begin > seconds:
                break
            axes = wider if found is None else _filling(wider)
            surface = self._evaluated(found, axes, origin)
        self.directions, here = found, rows[-1].weights
        losses = {name: loss_at(one, here) for name, one in self._objectives.items()}
        valleys = find_valleys(surface, persistence=self._persistence)
        share = sum(getattr(found, "details", {}).get("explained_variance", [math.nan]))
        moment = Moment(step, surface, valleys, losses, share, near[-1].step)
        points = surface.losses.size * self._point_seconds
        self._overhead = max(time.perf_counter() - begin - points, 0.1) + OVERHEAD / 2
        return [moment]

    def _grid(self, seconds, least, most):
        """The finest grid that takes so many seconds, at least the least."""
        points = seconds / max(self._point_seconds, 1e-9)
        if self.objective.size == 1:
            return (max([n for n in CURVES if n <= points], default=CURVES[0]),)
        return max([g for g in GRIDS if g <= most and math.prod(g) <= points], default=least)

    def _directions(self, rows):
        """The principal directions of the path, seen from the side of the moment before.

        Where the path spans fewer than two, random ones take their place.
        """
        like = None if self.directions is None else self.directions.vectors
        parts = [row.weights[np.newaxis] for row in self._for_directions(rows)]
        try:
            found = principal(parts, 2, like=like)
            return dataclasses.replace(found, labels=LABELS)
        except ValueError:  # the path has no two directions yet
            known = np.zeros((0, self.objective.size))
        with contextlib.suppress(ValueError):  # where it has not moved
            known = principal(parts, 1).vectors
        others = np.random.default_rng(0).standard_normal((2 - len(known), self.objective.size))
        vectors = orthonormal(np.concatenate([known, others]))
        if like is not None:
            vectors = turned_towards(vectors, like) @ vectors
        details = {"kind": "principal and random", "num_principal": len(known), "seed": 0}
        return Directions(vectors, LABELS, details)

    def _for_directions(self, rows):
        """As many of the rows, evenly, as their products take little time."""
        most = int(np.sqrt(PATH_NUMBERS / self.objective.size))
        return evenly(rows, min(max(most, 10), MOST_PATH_ROWS))

    def _coordinates(self, rows, directions, origin, grid):
        steps, losses = [row.step for row in rows], [row.loss for row in rows]
        if directions is None:
            period = self.objective.period_and_unit(0)[0] if self.objective.size == 1 else None
            if period is not None:
                return (np.linspace(-period / 2, period / 2, grid[0]),)
            places = np.stack([row.weights for row in rows])
        else:
            places = np.stack([directions.vectors @ (row.weights - origin) for row in rows])
        size = places.shape[1]
        inside = Trajectory(steps, places, losses)
        axes = span(inside, np.eye(size), np.zeros(size), num_points=grid, reach=np.inf)
        return axes if directions is None else _filling(axes)

    def _evaluated(self, directions, axes, origin):
        return evaluate(self.objective, directions, coordinates=axes, origin=origin, verbose=0)


def _foot(rows, directions):
    """The point of the plane through the last row that is nearest to the first one.

    With it as the origin a path begins at 0 at each moment.
    """
    last = rows[-1].weights.astype("float64")
    return last + (directions.vectors @ (rows[0].weights - last)) @ directions.vectors


def evenly(rows, most):
    """At most so many rows, the first and the last among them."""
    places = np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(int)
    return [rows[k] for k in dict.fromkeys(places.tolist())]


def _near(rows):
    """The finite rows up to where the run blew up.

    That is where it is farther from its start than ten times the farthest row that was no worse.
    """
    rows = [row for row in rows if np.all(np.isfinite(row.weights))]
    if not rows:
        return rows
    start = rows[0].weights.astype("float64")
    away = np.array([np.linalg.norm(row.weights - start) for row in rows])
    losses = np.array([row.loss if row.known else np.nan for row in rows])
    known = losses[np.isfinite(losses)]
    good = away[losses <= known[0]].max(initial=0.0) if known.size else 0.0
    reach = FAR * max(good, away[1:2].max(initial=0.0))
    beyond = np.flatnonzero(away > max(reach, np.linalg.norm(start)))
    return rows[: beyond[0]] if beyond.size else rows


def _filling(axes):
    """Axes of one scale, the one that is too short widened on both sides, to fill a picture."""
    wide, high = (float(np.ptp(axis)) for axis in axes)
    wanted = max(wide, WIDTH * high), max(high, wide / WIDTH)
    found = []
    for axis, extent in zip(axes, wanted, strict=True):
        more = (extent - float(np.ptp(axis))) / 2
        found.append(np.linspace(axis[0] - more, axis[-1] + more, len(axis)))
    return tuple(found)


def _wider(surface):
    """Axes that go on where the lowest point is on the border; `None` where it is inside."""
    losses = np.where(np.isfinite(surface.losses), surface.losses, np.inf)
    lowest = np.unravel_index(np.argmin(losses), losses.shape)
    axes, changed = [], False
    for axis, k, period in zip(surface.coordinates, lowest, surface.periods, strict=True):
        low, high = float(axis[0]), float(axis[-1])
        more = WIDER * (high - low)
        if period is None and k in (0, len(axis) - 1):
            low, high, changed = low - more * (k == 0), high + more * (k > 0), True
        axes.append(np.linspace(low, high, len(axis)))
    return axes if changed else None
