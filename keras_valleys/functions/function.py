"""A function of few weights: its values, what is known of it, and the Keras model of it."""

import dataclasses
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from keras_valleys._checks import (
    as_numbers,
    as_plain_dict,
    check_vector,
    check_whole,
    is_whole,
    refusal,
)
from keras_valleys._results import Result, cut, frozen
from keras_valleys._weights import to_numpy
from keras_valleys.functions.models import FunctionLoss, WeightVector, check_value, wide_dtype
from keras_valleys.metrics import StepLoss

ONE_AXIS, MORE_AXES = 601, (121, 101)  # points, where no number is given
IN_NUMPY: set[Callable[..., Any]] = set()  # functions that take NumPy's arrays as well as tensors


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Function(Result):
    """A function of K weights, where its minima are, and the Keras model whose loss it is.

    The first weight is x, the second y. The known ones are made by the functions of
    `keras_valleys.functions`; one of your own is

        keras_valleys.functions.Function(
            "bowl", lambda x, y: x**2 + 3 * y**2, [(-2, 3), (-1, 2)], start=(2.5, 1.5)
        )

    Args:
        name: A word, which names the model and its loss.
        value: Function that takes the K weights, one argument each, and returns the value, by plain
            arithmetic and `keras.ops`; see `FunctionLoss`.
        limits: Array of shape `(K, 2)`: the region to look at, lowest and highest of each weight.
        start: Array of shape `(K,)`: where descents usually begin.
        formula: The formula in plain text.
        minima: Array of shape `(M, K)`: the minima within the limits, in float64; empty where there
            are none, or none are known.
        saddles: Array of shape `(S, K)`: the saddles, likewise.
        arguments: Dictionary of further arguments of `value`, plain numbers.
        slopes: Function of the same arguments that returns the K partial derivatives, or `None`.

    Call arguments:
        points: Array of shape `(..., K)`.

    Returns:
        Array of values of shape `(...)`. Known functions are computed in NumPy's float64; one of
        your own on the backend, in float64 where that has it.

    Raises:
        ValueError: The shapes do not belong together, limits do not rise, something is not finite.

    Example:

    >>> valley = keras_valleys.functions.rosenbrock()
    >>> valley.minima.tolist(), round(float(valley(valley.start)), 4)
    ([[1.0, 1.0]], 24.2)
    >>> model = valley.build_model(optimizer=keras.optimizers.SGD(0.001))
    >>> history = model.fit(*valley.data(num_steps=100), batch_size=1, verbose=0)
    >>> round(float(history.history["step_loss"][0]), 1)
    3.8
    """

    name: str
    value: Callable[..., Any]
    limits: np.ndarray
    start: np.ndarray
    formula: str = ""
    minima: np.ndarray = dataclasses.field(default_factory=lambda: np.empty(0))
    saddles: np.ndarray = dataclasses.field(default_factory=lambda: np.empty(0))
    arguments: dict[str, float] = dataclasses.field(default_factory=dict)
    slopes: Callable[..., Any] | None = None

    if typing.TYPE_CHECKING:  # it takes what these can be made of

        def __init__(
            self,
            name: str,
            value: Callable[..., Any],
            limits: ArrayLike,
            start: ArrayLike,
            formula: str = "",
            minima: ArrayLike = (),
            saddles: ArrayLike = (),
            arguments: Mapping[str, float] | None = None,
            slopes: Callable[..., Any] | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.isidentifier():
            raise refusal(
                "Function",
                "`name` to be a word of letters, digits and _",
                {"name": self.name},
                "Use name='bowl'.",
            )
        check_value("Function", self.value)
        limits = _as_limits(self.limits)
        start = check_vector("Function", len(limits), start=np.atleast_1d(self.start))
        arguments = as_plain_dict("Function", arguments=dict(self.arguments or {}))
        self._set(limits=frozen(limits), start=frozen(start), arguments=arguments)
        for name in ("minima", "saddles"):
            points = as_numbers("Function", **{name: getattr(self, name)})
            points = points if points.size else points.reshape(0, len(limits))
            if points.ndim != 2 or points.shape[1] != len(limits) or not _are_finite(points):
                raise refusal(
                    "Function",
                    f"`{name}` to be points of {len(limits)} finite numbers, as many as `limits` "
                    "has pairs",
                    {name: getattr(self, name)},
                    f"Use {name}=[] where none are known.",
                )
            self._set(**{name: frozen(points)})

    def __call__(self, points: ArrayLike) -> np.ndarray:
        columns = self._columns(points)
        with np.errstate(all="ignore"):  # what overflows is infinite
            return self._numbers(self.value(*columns, **self.arguments), columns)

    def gradient(self, points: ArrayLike) -> np.ndarray:
        """The gradient by its formula, to compare others with.

        Args:
            points: Array of shape `(..., K)`.

        Returns:
            Array of shape `(..., K)`.

        Raises:
            ValueError: The function does not know its slopes, or points have another size than K.

        Example:

        >>> keras_valleys.functions.saddle().gradient([0.5, 2.0]).tolist()
        [1.0, -4.0]
        """
        if self.slopes is None:
            raise refusal(
                "Function.gradient",
                "a function that is made with `slopes`",
                f"the function {self.name!r} without",
                "Use keras_valleys.gradients.gradient(objective, points), which needs none.",
            )
        slopes, columns = self.slopes, self._columns(points)
        with np.errstate(all="ignore"):
            found = slopes(*columns, **self.arguments)
        return np.stack([self._numbers(part, columns) for part in found], axis=-1)

    def coordinates(self, num_points: int | Sequence[int] | None = None) -> tuple[np.ndarray, ...]:
        """Axes over the limits, for `keras_valleys.surfaces.evaluate` and for starts.

        Args:
            num_points: Number of points of each axis, at least 2, or one number for all. `None` is
                601 for one weight, 121 and 101 for two.

        Returns:
            A tuple of K rising arrays.

        Raises:
            ValueError: `num_points` is not K integers >= 2.

        Example:

        >>> valley = keras_valleys.functions.himmelblau()
        >>> objective = keras_valleys.objectives.Objective(valley.build_model(), *valley.data())
        >>> axes = valley.coordinates()
        >>> surface = keras_valleys.surfaces.evaluate(objective, coordinates=axes)
        >>> surface.losses.shape
        (121, 101)
        """
        size = len(self.limits)
        given: Any = num_points
        if given is None:
            given = [ONE_AXIS] if size == 1 else [MORE_AXES[min(k, 1)] for k in range(size)]
        numbers = [given] * size if not np.iterable(given) else list(given)
        if len(numbers) != size or not all(is_whole(n) and n >= 2 for n in numbers):
            raise refusal(
                "Function.coordinates",
                f"`num_points` to be an integer >= 2, or {size} of them",
                {"num_points": num_points},
                f"Use num_points={ONE_AXIS if size == 1 else MORE_AXES[0]}.",
            )
        ends = zip(self.limits.tolist(), numbers, strict=True)
        return tuple(np.linspace(low, high, n) for (low, high), n in ends)

    def data(self, num_steps: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Rows that mean nothing, one for each step: Keras wants some.

        `model.fit(*function.data(100), batch_size=1)` makes 100 steps in one epoch, each along the
        gradient of the function. `Objective(model, *function.data())` and `compare` need one row.

        Args:
            num_steps: Number of steps, at least 1.

        Returns:
            `x, y`: float32 zeros of shape `(num_steps, 1)`.

        Raises:
            ValueError: `num_steps` is less than 1.

        Example:

        >>> keras_valleys.functions.saddle().data(num_steps=100)[0].shape
        (100, 1)
        """
        check_whole("Function.data", 1, num_steps=num_steps, remedy="Use num_steps=100.")
        rows = np.zeros((num_steps, 1), "float32")
        return rows, rows.copy()

    def build_model(
        self,
        start: ArrayLike | None = None,
        *,
        optimizer: str | dict | keras.optimizers.Optimizer = "sgd",
    ) -> keras.Model:
        """A Keras model whose loss is the function of its weights.

        Its one trainable variable is the vector `w` of shape `(K,)`; it predicts its weights, in
        each row, whatever its inputs. It is compiled with the function as its loss, and with a
        `keras_valleys.metrics.StepLoss`. Weights are float32, or float64 under that `floatx`.

        Args:
            start: Array of shape `(K,)`: the initial weights; a number where K is 1. `None` is
                the function's own start.
            optimizer: As for `model.compile`.

        Returns:
            A new model, built and compiled.

        Raises:
            ValueError: `start` is not K finite numbers.

        Example:

        >>> bowl = keras_valleys.functions.oblique_valley(condition=4.0)
        >>> model = bowl.build_model([0.0, 1.0], optimizer=keras.optimizers.Adam(0.1))
        >>> round(model.evaluate(*bowl.data(), verbose=0, return_dict=True)["loss"], 5)
        1.625
        """
        given = self.start if start is None else np.atleast_1d(start)
        owner = "Function.build_model"
        point = check_vector(owner, len(self.limits), start=given)
        layer = WeightVector(point.tolist(), dtype=wide_dtype())
        model = keras.Sequential([keras.Input((1,)), layer], name=self.name)
        loss = FunctionLoss(self.value, self.arguments, name=self.name)
        model.compile(optimizer, loss, metrics=[StepLoss(loss)])
        return model

    def _columns(self, points):
        """Each weight of points as an array, or as a tensor where the function needs that."""
        array = as_numbers(self.name, points=points)
        if array.ndim == 0 or array.shape[-1] != len(self.limits):
            raise refusal(
                self.name,
                f"points of shape (..., {len(self.limits)}), one number per weight",
                f"shape {array.shape}",
                f"{self.start.tolist()} is such a point.",
            )
        columns = list(np.moveaxis(array, -1, 0))
        if self.value in IN_NUMPY:
            return columns
        return [ops.convert_to_tensor(column) for column in columns]

    def _numbers(self, found, columns):
        """What a function gave for columns, as a new array of their shape."""
        array = found if self.value in IN_NUMPY else to_numpy(ops.convert_to_tensor(found))
        return np.array(np.broadcast_to(array, columns[0].shape), "float64")

    def _in_short(self) -> str:
        minima = f"{len(self.minima)} known minim{'um' if len(self.minima) == 1 else 'a'}"
        facts = [self.name, cut(self.formula, 50), minima]
        return ", ".join(fact for fact in facts if fact)


def in_numpy(value: Callable[..., Any]) -> Callable[..., Any]:
    """Register a formula with Keras, and as one that takes NumPy's arrays too."""
    IN_NUMPY.add(value)
    name = value.__name__.strip("_")
    return keras.saving.register_keras_serializable(package="keras_valleys", name=name)(value)


def _as_limits(given):
    limits = as_numbers("Function", limits=given)
    limits = limits[None] if limits.shape == (2,) else limits
    fits = limits.ndim == 2 and limits.shape[1] == 2 and len(limits) and _are_finite(limits)
    if not fits or not np.all(limits[:, 0] < limits[:, 1]):
        raise refusal(
            "Function",
            "`limits` to be a rising pair of finite numbers for each weight",
            {"limits": given},
            "Use limits=[(-2, 3), (-1, 2)] for two weights.",
        )
    return limits


def _are_finite(numbers):
    return bool(np.all(np.isfinite(numbers)))
