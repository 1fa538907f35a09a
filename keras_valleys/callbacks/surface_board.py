"""A callback that shows the walk of an optimizer on its loss surface in TensorBoard."""

import atexit
import dataclasses
import functools
import math
import os
import re
import warnings
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_valleys._checks import check_kind, check_number, check_whole, refusal
from keras_valleys._optimizers import name_of, optimizer_settings
from keras_valleys._tab import PathChunks, SurfaceRecord
from keras_valleys._weights import period_and_unit
from keras_valleys.callbacks.kept_rows import check_memory
from keras_valleys.callbacks.own_planes import MOST_SHOWN, OwnPlanes, evenly
from keras_valleys.callbacks.steps import Row, StepCallback
from keras_valleys.events import EventWriter, HParam, absolute_path, hparams_value
from keras_valleys.objectives import Objective
from keras_valleys.surfaces import Surface, coordinate_text
from keras_valleys.trajectories import Trajectory, project
from keras_valleys.valleys import BORDER, Valleys, dropped_text, passages, shown_valleys

FEW_FRAMES = 4  # that make a film where the surface is another one in each
NUM_FRAMES, MAX_FRAMES = 10, 30  # of the animation: each takes milliseconds, and 0.3 MB until then
# Tags of the board that no axis can have.
TAKEN = {"loss", "true_loss", "final_loss", "index", "surface", "path", "report"}
LOSS_TAGS = {"recorded": "valley/loss", "true": "valley/true_loss"}  # never one name for both
MAX_LINES = 10  # of a report: an optimizer that jumps about is derailed at each step
# Runs of fits that go on or that an exception ended, and references to their boards. So the writer
# of a board that is no longer used is still open when the board has its last word.
UNENDED: "dict[Run, weakref.ref]" = {}


class SurfaceBoard(StepCallback):
    """Writes the walk of an optimizer on its loss surface to TensorBoard, while `model.fit` runs.

    At every step the scalars `valley/loss`, the recorded loss of the step's batch in training mode,
    and `valley/phi`, the weight of a model with one weight;
    for a larger model one scalar per axis of the surface, named by its label, the coordinate of the
    weights' projection. Angles are in radians here, in degrees in the pictures. With a surface,
    `valley/index` is the index of the valley in whose basin the weights are (0 the lowest, see
    `keras_valleys.valleys.find_valleys`); a step outside of the surface has none.

    While fit runs, pictures of the surface with the path so far under the tag `valley/surface`,
    evenly spaced over the steps, or at steps 0, 1, 2, 4, 8, ... where their number is not known
    before; at the end an animation of the whole path (`valley/path`), made of these pictures where
    there are ten or more, and of at most about thirty; the hyperparameters, and a report
    (`valley/report`), which names the valleys visited and the derailments. TensorBoard keeps ten
    pictures of a tag, so up to ten are all shown, with no flag. The surface itself is drawn when
    the board is made, not during fit.

    With `data` no surface is needed before: one line shows a run of any model on the plane of its
    own path. At evenly spaced moments of fit that is the plane of the two principal directions of
    the path so far, through the present weights, on a grid as fine, and of as many rows of the
    data, as `budget` allows; where there is no time for a moment it is left out. Each one is a
    picture and a state of the tab; they are turned to be alike, and a path begins at (0, 0) in
    each. After fit the plane of the whole path is sampled finer, in at least three seconds, and is
    then the attribute `surface`, with the path as `trajectory`. In place of `valley/index` and the
    coordinates there are, at each moment, `valley/train_loss`, `valley/validation_loss` and
    `valley/gap`, their difference. The losses are those of evaluation, but with the statistics of
    batches where the model has BatchNormalization and the like, whose own lag behind the path; the
    report says so, and what `model.evaluate` would give. The surface of a model of one or two
    weights is that of the weights themselves. History, weights and random numbers of the fit are
    those without the board.

    Each fit writes a folder of its own: `log_dir`, or `log_dir-2`, `log_dir-3`, ... where it is
    occupied; the attribute `log_dir` says which. It may stand beside
    `keras.callbacks.TensorBoard(log_dir)` in any order. The last row, the report and
    `valley/final_loss` are of the model after fit, and written when all callbacks have ended. Where
    the disk is full or `log_dir` cannot be written, one warning is given and training goes on. Of a
    fit that an exception or Ctrl-C ends, the last rows and a report of what was seen are written
    with the next fit, when the board is no longer used, or when the process ends.

    Args:
        log_dir: Folder of the run; `tensorboard --logdir` takes its parent.
        surface: A `keras_valleys.surfaces.Surface` over all trainable weights. `None` writes
            scalars only.
        images: The largest number of pictures during fit, at least 0; and of moments.
        hparams: Dictionary of further hyperparameters to list, which take precedence.
        objective: The model's `keras_valleys.objectives.Objective`, which measures the scalar
            `valley/final_loss`, the true loss of all rows of data after fit. `None` measures
            nothing.
        valleys: What `keras_valleys.valleys.find_valleys` found on the surface, such as with an
            objective; `None` finds them. Pictures of two axes show valleys where these or the next
            argument are given.
        persistence: As for `find_valleys`, where `valleys` is `None`.
        data: In place of a surface, what the loss is evaluated on: a tuple `(x, y)` or `(x, y,
            sample_weight)` of arrays, a data set of batches that are the same at each pass, or an
            `Objective`, which is taken as it is. Evenly spaced rows of arrays are used, or the
            first batches of a data set, which is read up to 16384 rows.
        validation: The same of the validation data, for its loss beside that of training.
        budget: Share of fit's time for the moments.
        memory: The largest number of bytes for the path, of which every third row is kept again
            and again where it is more. `None` is a tenth of what is free.

    Raises:
        ValueError: At once for an impossible argument, such as valleys of another surface, or both
            valleys and a `persistence`; at the start of fit for a surface over another number of
            weights than the model's, or for data that it cannot be evaluated on.

    Example:

    >>> (x, y), _ = keras_valleys.datasets.rosette()
    >>> model = keras.Sequential([keras.Input((1,)), keras_valleys.layers.AngleFit()])
    >>> model.compile("sgd", keras_valleys.losses.RootError())
    >>> objective = keras_valleys.objectives.Objective(model, x, y)
    >>> surface = keras_valleys.surfaces.evaluate(objective, coordinates=np.linspace(-1.5, 1.5, 99))
    >>> log_dir = os.path.join(tempfile.mkdtemp(), "run")
    >>> board = keras_valleys.callbacks.SurfaceBoard(log_dir, surface, images=3)
    >>> history = model.fit(x, y, batch_size=670, epochs=3, callbacks=[board], verbose=0)
    >>> len(os.listdir(board.log_dir))
    1
    """

    _owner = "SurfaceBoard"  # who refuses
    _loss_kind = "recorded"  # of the losses of its rows

    def __init__(
        self,
        log_dir: str | os.PathLike,
        surface: Surface | None = None,
        images: int = 10,
        *,
        hparams: Mapping[str, HParam] | None = None,
        objective: Objective | None = None,
        valleys: Valleys | None = None,
        persistence: float | None = None,
        data: Any = None,
        validation: Any = None,
        budget: float = 0.1,
        memory: float | None = None,
    ) -> None:
        super().__init__()
        remedy = "Use images=10, as many as TensorBoard keeps."
        check_whole(self._owner, remedy=remedy, images=images)
        if surface is not None:
            check_kind(self._owner, "surface", surface=surface)
        if objective is not None:
            check_kind(self._owner, "objective", objective=objective)
        self.log_dir = absolute_path(log_dir)
        self.surface: Any = surface
        self.images = images
        hparams_value(hparams or {})  # refuses what cannot be written
        self.hparams, self.objective = dict(hparams or {}), objective
        self._asked_log_dir = self.log_dir
        self._valleys: Any = None
        self._record: Any = None
        remedy = "Use budget=0.1, a tenth of fit's time."
        check_number(self._owner, "a number > 0", remedy, above=0, budget=budget)
        check_memory(self._owner, memory)
        self._own: Any = None  # `OwnPlanes`, where the surface is the path's own
        self._moment: Any = None  # the last `Moment` of it
        if data is not None:
            self._check_own(surface, valleys)
            self._own = OwnPlanes(self._owner, data, validation, budget, memory, persistence)
        elif validation is not None:
            raise refusal(
                self._owner,
                "`data` where `validation` is given",
                "data=None",
                "Give both: data=(x, y), validation=(x_val, y_val).",
            )
        elif surface is not None:
            found = shown_valleys(self._owner, surface, valleys, persistence)
            self._valleys = ValleyVisits(found)
            self._record = SurfaceRecord(surface, self._valleys.valleys)
        elif valleys is not None or persistence is not None:
            raise refusal(
                "SurfaceBoard",
                "a `surface` where `valleys` or `persistence` is given",
                "surface=None",
                "Give the surface, such as `valleys.surface`.",
            )
        self._shows_valleys = valleys is not None or persistence is not None
        self._tags: list[str] = []  # names of the axes
        self._units: list[str] | None = None  # where they are not the surface's
        self._scalar_tags: list[str] = []
        self._places: list[Place] = []  # of all fits
        self._run: Any = None  # a `Run` during fit: callbacks are copied before
        self._frames: Any = None  # `SurfaceFrames`
        self._draws = (surface is not None or data is not None) and images > 0
        if self._draws and self._own is None:
            self._prepare_frames()  # here, so that it does not hold up training

    def __getstate__(self) -> dict:
        # Figures are not copied, but drawn again; an interrupted fit leaves an open file.
        return {**self.__dict__, "_frames": None, "_run": None}

    def __del__(self) -> None:
        if vars(self).get("_run") is not None:
            self._end_interrupted()

    def on_fit_begin(self) -> None:
        if self._run is not None:
            self._end_interrupted()
        if self._own is not None:
            self._own.fit_begin()
            self.surface = self._record = self._valleys = self._moment = None
            if self.model.built:
                self._own.meet(self.model)  # before a folder is made: it may refuse the data
        self._run = Run(EventWriter(self._asked_log_dir))
        UNENDED[self._run] = weakref.ref(self)
        _end_all_at_exit()
        self.log_dir = self._run.writer.log_dir

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._plan_pictures(epoch)
        super().on_epoch_begin(epoch, logs)

    def on_row(self, row: Row) -> None:
        if self._own is None:
            self._add(self._place(row))
        else:
            self._add_own(row)

    def on_final(self, row: Row) -> None:
        if self._own is not None:
            self._own.path.pinned.add(row.step)
            self._own.path.add(row)
            left = [] if self._run.num_moments else self._run.due
            self._go_on(self._own.last_moments(left))
        self._finish(self._place(row))

    @property
    def trajectory(self) -> Trajectory:
        """The path, where the board was given `data`: to draw it on `surface`, the final plane."""
        if self._own is None:
            raise AttributeError(
                "`SurfaceBoard.trajectory` is there with `data=`; a `TrajectoryRecorder` has one"
            )
        rows = self._own.path.rows
        return Trajectory(
            [row.step for row in rows],
            self._own.path.stacked([]),
            [row.loss for row in rows],
            self._run_label(),
            self.loss_source,
            no_steps=[row.step for row in rows if row.no_step],
        )

    def _check_own(self, surface, valleys):
        both = {"surface": surface, "valleys": valleys}
        given = [name for name, one in both.items() if one is not None]
        if given:
            raise refusal(
                self._owner,
                "`data`, of which it makes surfaces itself, or a `surface` and its `valleys`",
                f"data and {' and '.join(given)}",
                "Leave out one of them.",
            )

    def _plan_pictures(self, epoch):
        if self._run.schedule is None:  # only now is it known at which epoch this fit begins
            self._run.num_steps = self._count_steps(epoch)
            self._run.schedule = Schedule(self.images, self._run.num_steps)

    def _add(self, place):
        run = self._run
        self._begin_at(place)
        self._places.append(place)
        self._write(place)
        if self._draws and run.schedule.is_due(place.step - run.start):
            image = self._draw(self._places)
            if (run.schedule.num_drawn - 1) % math.ceil(self.images / MAX_FRAMES) == 0:
                run.images.append(image)

    def _begin_at(self, place):
        """Write the hyperparameters, at the first place of a fit."""
        run = self._run
        if run.values is not None:
            return
        run.start = place.step
        run.values = self._hyperparameters(place)
        run.writer.hparams(run.values)
        if self._draws and self.surface is not None:
            self._prepare_frames(self._run_label())

    def _finish(self, final):
        run, places = self._run, [*self._places, final]
        if self._own is not None:
            places = self._places_of_path()
        self._write_scalars(final)
        if self._own is None or final.step > run.step:
            self._write_row(final)
        loss = self._final_loss(final)
        if loss is not None:
            run.writer.scalar("valley/final_loss", loss, final.step)
        if self._draws and self.surface is not None:
            if self._own is None:
                self._prepare_frames(self._run_label())
                run.images.append(self._draw(places))
            run.writer.image("valley/path", self._animation(places), final.step)
        run.writer.text("valley/report", self._report(self._of_fit(places)), final.step)
        self._end()

    def _of_fit(self, places):
        """Those of these places that are of the present fit."""
        start = self._run.start
        start = places[-1].step if start is None else start
        return [place for place in places if place.step >= start]

    def _end(self):
        run, self._run = self._run, None
        UNENDED.pop(run, None)
        run.close()

    def _end_interrupted(self):
        """Show the rest of a fit that an exception ended; the model is not there to be asked."""
        run = self._run
        if run.process != os.getpid():  # a copy in a forked process
            self._run = None
            return
        # Where no epoch has begun, what is ahead is of an earlier fit.
        ahead = [row for row in self.rows_ahead if row.step > run.step] * (run.schedule is not None)
        if self._own is not None and ahead:
            for row in ahead:
                self._own.path.pinned.add(row.step)
                self._own.path.add(row)
            run.start = ahead[0].step if run.start is None else run.start
            if not run.num_moments:
                self._go_on(self._own.last_moments([]))
            places = self._of_fit(self._places_of_path())
        else:
            places = self._of_fit(self._places) if run.start is not None else []
            places += [self._place(row) for row in ahead]
        for place in places:
            if place.step > run.step:
                self._write(place)
        if places:
            known = places if places[-1].loss is None else [*places, places[-1]]
            report = self._report(known, ended="early, by an exception")
            run.writer.text("valley/report", report, places[-1].step)
        self._end()

    def _place(self, row):
        vector = row.weights
        if vector.size > 1:  # of the path's own planes there is none at first
            vector = np.empty(0) if self._record is None else self._record.place(vector)
        return Place(row.step, vector, row.loss if row.known else None, row.no_step)

    def _write(self, place):
        """Write what is shown of a place: its scalars, and its row in the tab."""
        self._write_scalars(place)
        self._write_row(place)

    def _write_scalars(self, place):
        coordinates = place.vector[: len(self._tags)].tolist()  # the distance comes last
        values = dict(zip(self._scalar_tags, coordinates, strict=True))
        if place.loss is not None:
            values[LOSS_TAGS[self._loss_kind]] = place.loss
        if self._valleys is not None and self._own is None:  # else they are others at each moment
            index = self._valleys.index_of(coordinates)
            if index >= 0:
                values["valley/index"] = float(index)
        if values:
            self._run.writer.scalars(values, place.step)

    def _write_row(self, place):
        run = self._run
        if run.chunks is None:
            run.chunks = self._new_chunks(self._tags)
        run.chunks.add(place)
        run.step = place.step

    def _new_chunks(self, names, moment=None):
        """Where the tab's path begins, with the surface that it is on."""
        options = {"units": self._units, "loss_kind": self._loss_kind, "moment": moment}
        return PathChunks(self._run.writer, names, self._run_label(), self._record, **options)

    def _add_own(self, row):
        """Take a row, and make a new plane of the path where one is due and there is time."""
        own, run = self._own, self._run
        if not own.is_ready:
            own.meet(self.model)
        place = self._place(row)
        self._begin_at(place)
        due = self._draws and run.schedule.is_due(row.step - run.start) and row.step > run.start
        if due:
            run.due.append(row.step)
            own.path.pinned.add(row.step)
        if own.path.add(row):
            self.every = math.lcm(self.every, own.path.stride)
            self._step_reader.slow_down(self.every)
        self._write(place)
        whole = max((run.num_steps or 0) / max(row.step - run.start, 1), 1.0)
        if run.due:
            before = run.num_moments
            self._go_on(own.moments(run.due[-1], whole))
            if run.num_moments > before or not self._draws:
                run.due.clear()
                own.path.pinned.clear()

    def _places_of_path(self):
        return [self._place(row) for row in self._own.path.rows]

    def _go_on(self, moments):
        """Show moments as they are made; what fails there must not end a fit."""
        try:
            for moment in moments:
                self._show(moment)
        except Exception as error:  # of a model, a disk or a figure: any
            self._draws = False
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            warnings.warn(
                f"`{self._owner}` cannot show the plane of the path ({reason}). The fit goes on "
                "without it.",
                RuntimeWarning,
                stacklevel=2,
            )

    def _show(self, moment):
        """Go on with the plane of a moment: in the tab, in the scalars and in a picture."""
        run, own = self._run, self._own
        self.surface, self._valleys = moment.surface, ValleyVisits(moment.valleys)
        self._record = SurfaceRecord(moment.surface, moment.valleys)
        self._moment = moment
        rows = own.path.rows if moment.is_last else evenly(own.path.rows, MOST_SHOWN)
        self._places = [self._place(row) for row in rows]
        if run.chunks is not None:
            run.chunks.flush()
        names, number = moment.surface.labels, (run.num_moments, moment.step)
        run.chunks = self._new_chunks(names, number)
        for place in self._places:
            run.chunks.add(place)
        run.chunks.flush()
        run.step = max(run.step, self._places[-1].step)
        run.num_moments += 1
        losses = {f"valley/{name}_loss": loss for name, loss in moment.losses.items()}
        if len(losses) > 1:
            losses["valley/gap"] = moment.losses["validation"] - moment.losses["train"]
        run.writer.scalars(losses, moment.step)
        if self._draws:
            self._frames = None
            self._prepare_frames(self._run_label(), own.in_words(moment))
            seen = [place for place in self._places if place.step <= moment.step]
            run.images.append(self._draw(seen))

    def _named(self, place):
        """Pairs of a tag and its value."""
        return zip(self._tags, place.vector[: len(self._tags)], strict=True)

    def _prepare_frames(self, optimizer=None, caption=""):
        from keras_valleys import plots  # matplotlib only where it draws

        if self._frames is None:
            shown = self._shows_valleys or self.surface.losses.ndim == 1
            found = self._valleys.valleys if shown else None
            self._frames = plots.SurfaceFrames(
                self.surface, valleys=found, loss_kind=self._loss_kind, caption=caption
            )
        if optimizer is not None:
            self._frames.set_color(plots.optimizer_color(optimizer))

    def _draw(self, places):
        from keras_valleys import plots

        path, losses, steps = self._path(places)
        image = self._frames.image(path, losses, steps[-1], no_steps=_no_steps(places))
        self._run.writer.image("valley/surface", plots.encode(image), steps[-1])
        return image

    def _animation(self, places):
        from keras_valleys import plots

        run = self._run
        few = NUM_FRAMES if self._own is None else FEW_FRAMES
        if len(run.images) >= few and run.schedule.is_even:
            return plots.animate(run.images)
        options = {"num_frames": NUM_FRAMES, "no_steps": _no_steps(places)}
        return self._frames.animation(*self._path(places), **options)

    def _path(self, places):
        """Coordinates (n, K), losses (n,) and steps (n,) of places."""
        vectors = np.concatenate([place.vector for place in places]).reshape(len(places), -1)
        vectors = vectors[:, : self.surface.losses.ndim]
        one_weight = self.surface.origin.size == 1
        coordinates = project(vectors, self.surface) if one_weight else vectors
        losses = np.array([np.nan if place.loss is None else place.loss for place in places])
        return coordinates, losses, np.array([place.step for place in places])

    def _count_steps(self, first_epoch):
        """The number of steps that this fit will make at most, or `None`."""
        params = self.params or {}  # a `CallbackList` of one's own may have none
        steps, epochs = params.get("steps"), params.get("epochs")
        return steps * (epochs - first_epoch) if steps and epochs else None

    def _select(self, model):
        variables = list(model.trainable_variables)
        size = sum(math.prod(variable.shape) for variable in variables)
        if self.surface is not None and self.surface.origin.size != size:
            raise refusal(
                "SurfaceBoard",
                f"a surface over the model's {size} trainable weights",
                f"a surface over {self.surface.origin.size}",
                "Evaluate the surface of this model.",
            )
        self._name_axes(size)
        if size == 1:
            self._units = [period_and_unit(variables[0])[1]]
        # A large model is not copied for nothing.
        return variables if self._tags or self._own is not None else []

    def _name_axes(self, size):
        """Name what is shown of a model of so many weights; units are those of the surface."""
        self._units = None
        if size == 1:
            self._tags = ["phi"]
        else:
            own = (
                self.surface is None or self._own is not None
            )  # planes that change have no scalars
            labels = () if own else self.surface.labels
            self._tags = [re.sub(r"[^\w.-]+", "_", label) for label in labels]
            if len(set(self._tags) - TAKEN) < len(labels):
                self._tags = [f"{tag}_{number}" for number, tag in enumerate(self._tags, 1)]
        self._scalar_tags = [f"valley/{tag}" for tag in self._tags]

    def _run_label(self):
        """Name of the run, as in a legend."""
        return name_of(self._step_reader.optimizer)

    def _settings(self):
        """The hyperparameters that are known of the optimizer."""
        return optimizer_settings(self._step_reader.optimizer)

    def _final_loss(self, final):
        """The true loss at the last place, `None` where it is not known."""
        return None if self.objective is None else self.objective(self.objective.point())

    def _hyperparameters(self, place):
        units = self._units or (() if self.surface is None else self.surface.units)
        starts = {}
        for (tag, value), unit in zip(self._named(place), [*units, "", ""], strict=False):
            is_angle = unit == "rad"  # in the unit of the tab, and of pictures
            name = f"start_{tag}_degrees" if is_angle else f"start_{tag}"
            starts[name] = float(f"{math.degrees(value) if is_angle else value:.7g}")
        return {**self._settings(), **starts, **self.hparams}

    def _report(self, places, ended=""):
        """A table in Markdown of this fit's places, the final one last, and of how it ended."""
        final = places[-1]
        values = self._run.values or self._hyperparameters(final)
        lines = [f"| {name.replace('_', ' ')} | {value} |" for name, value in values.items()]
        lines.insert(1, "|---|---|")
        lines.append(f"| steps | {final.step} |")
        lines += [f"| ended | {ended} |"] * bool(ended)
        lines += [f"| final {tag} | {value:.6g} |" for tag, value in self._named(final)]
        known = [row for row in places if row.loss is not None]
        finite = [row for row in known if math.isfinite(row.loss)]
        best = sorted(finite, key=lambda row: row.loss)
        for name, found in (("first", known), ("best", best), ("last", known[::-1])):
            lines += [f"| {name} loss | {r.loss:.6g} (step {r.step}) |" for r in found[:1]]
        if self._valleys is not None:
            path, losses, steps = self._path(places)
            lines += self._valleys.report(path, losses, steps, steps[_no_steps(places)])
        if self._moment is not None:
            lines += self._own.report(self._moment)
        if final.no_step:
            lines.append(f"| the final weights are | set after step {final.step - 1} |")
        lines.append(f"| losses are | {self.loss_source} |")
        return "\n".join(lines)


@dataclasses.dataclass(slots=True)
class Place:
    """What a board keeps of a row.

    Attributes:
        step: The row's step.
        vector: The weight of a model with one, else the coordinates on the surface and, last, the
            distance from it; empty where a larger model has no surface.
        loss: The row's loss, `None` where it is not known.
        no_step: Whether no step led there.
    """

    step: int
    vector: np.ndarray
    loss: float | None
    no_step: bool = False


def _no_steps(places):
    """Booleans of shape `(n,)`: to which places no step led."""
    return np.array([place.no_step for place in places], bool)


@dataclasses.dataclass(eq=False)
class Run:
    """What belongs to one fit.

    Attributes:
        writer: Its `EventWriter`.
        start: Step of its first row, from that on.
        values: Its hyperparameters, from the first row on.
        chunks: Its path as the tab shows it, from the first row on.
        schedule: When to draw, from the first epoch on.
        images: Pictures for the animation.
        process: Number of the process that writes.
        step: Step of the last row that is written.
        num_steps: Number of steps that the fit will make, where that is known.
        num_moments: Number of the planes of its own path that are written.
        due: Steps of those for which there was no time yet.
    """

    writer: EventWriter
    start: int | None = None
    values: dict | None = None
    chunks: PathChunks | None = None
    schedule: "Schedule | None" = None
    images: list = dataclasses.field(default_factory=list)
    process: int = dataclasses.field(default_factory=os.getpid)
    step: int = -1
    num_steps: int | None = None
    num_moments: int = 0
    due: list = dataclasses.field(default_factory=list)

    def close(self):
        """Write what waits, and close the file."""
        if self.chunks is not None:
            self.chunks.flush()
        self.writer.close()


@functools.cache  # once, and after a writer was made: what is registered last is done first
def _end_all_at_exit():
    atexit.register(_end_all)


def _end_all():
    """Show what waits of all boards, before the process ends."""
    for board in [reference() for reference in UNENDED.values()]:
        if board is not None:
            board._end_interrupted()


class Schedule:
    """At which steps to draw: evenly spaced, one picture left for the end of fit.

    Where the number of steps is not known before, the distance doubles from picture to picture.
    """

    def __init__(self, images, num_steps):
        self._most, self.num_drawn = images - 1, 0
        self.is_even = num_steps is not None
        self._spacing = num_steps / max(images - 1, 1) if self.is_even else None
        self._next = 0

    def is_due(self, step):
        if self.num_drawn >= self._most or step < self._next:
            return False
        self.num_drawn += 1
        self._next = max(2 * step, 1) if self._spacing is None else self._next + self._spacing
        return True


class ValleyVisits:
    """The valleys of a surface, and how a run visits them."""

    def __init__(self, valleys):
        self.valleys, surface = valleys, valleys.surface
        self._line = None
        if surface.origin.size == 1:
            self._line = float(surface.origin[0]), float(surface.directions[0, 0]) or math.nan

    def index_of(self, vector):
        """The index of a valley or -1, in a few microseconds: it is asked at each step.

        Args:
            vector: The weight of a model with one, else the coordinates on the surface.
        """
        if self._line is None:
            return self.valleys.at(float(vector[0]) if len(vector) == 1 else vector)
        origin, direction = self._line
        return self.valleys.at((float(vector[0]) - origin) / direction)

    def report(self, coordinates, losses, steps, no_steps):
        """Rows of a table in Markdown: the valleys visited, in order, and the derailments."""
        indices = self.valleys.at(coordinates)
        visited = list(dict.fromkeys(indices[indices >= 0].tolist()))
        names = [self._name(self.valleys[index]) for index in visited[:MAX_LINES]]
        more = [f"{len(visited) - MAX_LINES} more"] * (len(visited) > MAX_LINES)
        path = {"losses": losses, "steps": steps, "no_steps": no_steps}
        found = passages(self.valleys, coordinates, **path)
        lines = [
            f"| valleys visited | {', '.join(names + more) or 'none'} |",
            f"| derailments | {len(found)} |",
        ]
        if self.valleys.dropped:
            lines.insert(1, f"| other valleys | {dropped_text(self.valleys)} |")
        for crossing in found[:MAX_LINES]:
            rise = "" if math.isnan(crossing.rise) else f", loss {crossing.rise:+.6g}"
            way = f"from {self._name(crossing.before)} into {self._name(crossing.after)}"
            lines.append(f"| derailed at step {crossing.step} | {way}{rise} |")
        return lines

    def _name(self, valley):
        units = self.valleys.surface.units
        position = ", ".join(map(coordinate_text, valley.position, units))
        name = BORDER if valley.on_border else f"valley {valley.index}"
        return f"{name} ({position})"
