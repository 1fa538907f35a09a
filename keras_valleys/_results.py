"""What all results have in common: arrays that stay as they are, `==`, one short line, files."""

import dataclasses
import json
import os
import typing
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from keras_valleys._files import damaged, read_archive, write_archive

WIDTH = 100  # characters of a result at the prompt, at most
AS_JSON = {"saved": "as JSON"}  # metadata of a field of plain values, None among them


class Result:
    """A result as a value: equal to another of the same class with equal fields, short in print.

    A subclass is a `@dataclasses.dataclass(frozen=True, eq=False, repr=False)`: the two that are
    switched off come from here. Its `__post_init__` makes its arrays with `frozen`, and puts them
    in place with `_set`; its `_in_short` says in a few words what it holds.

    Arrays are equal where dtype, shape and all numbers are, NaN being equal to NaN. The dtype
    counts because it decides what is found later: what is rounding of a loss, and what a valley,
    is another thing in float32 than in float64. Fields with `compare=False` do not count.

    The hash goes with `==`, equal for equal results, so that they can be in a set or the key of a
    dictionary. Of arrays and dictionaries it takes the size only: what an array holds would have
    to be read whole each time, and what a dictionary holds can change.
    """

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(same(getattr(self, name), getattr(other, name)) for name in self._compared())

    def __hash__(self) -> int:
        marks = [_mark(getattr(self, name)) for name in self._compared()]
        return hash((type(self), *marks))

    def __repr__(self) -> str:
        text = f"{type(self).__name__}({' '.join(self._in_short().split())})"
        return text if len(text) <= WIDTH else f"{text[: WIDTH - 4]}...)"

    def _in_short(self) -> str:
        """What stands between the brackets in print."""
        raise NotImplementedError

    def _set(self, **fields: typing.Any) -> None:
        """Set fields in `__post_init__`."""
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def _compared(self) -> list[str]:
        fields = dataclasses.fields(typing.cast("typing.Any", self))
        return [field.name for field in fields if field.compare]


class Saved:
    """A result that can be saved: to an npz file without pickle, whole or not at all.

    A subclass names its files: `class Surface(Result, Saved, kind="surface")`; the name is part of
    the file's format. Each field is written under its own name: arrays, numbers and texts as they
    are, a tuple of arrays as `name_0`, `name_1`, ..., a tuple of texts as one array, and a field
    with `metadata=AS_JSON`, of plain values, as text. `__init__` gets them back in the same form,
    but lists in place of tuples in JSON.

    A field that is added later needs a default, and no more: a file without it, of an older
    version, loads with the default. `None` is not written at all: `statistics: np.ndarray | None =
    None` loads as `None` or as an array. Plain values with `None` among them go as JSON:
    `periods: tuple = dataclasses.field(default=(), metadata=AS_JSON)`, made a tuple again in
    `__post_init__`. Where the default would be wrong for an older file, `_completed` says better.
    """

    _kind: typing.ClassVar[str]

    def __init_subclass__(cls, *, kind: str = "", **options: typing.Any) -> None:
        super().__init_subclass__(**options)
        cls._kind = kind or cls._kind

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write to an npz file, whole or not at all.

        Args:
            path: Path of the file; an older file there is replaced.

        Raises:
            OSError: The file cannot be written; an older file is then still there.
            ValueError: A field holds something else than numbers and text.
        """
        written = {}
        for field in _fields(self):
            value = getattr(self, field.name)
            if field.metadata == AS_JSON:
                written[field.name] = json.dumps(value)
            elif isinstance(value, tuple) and any(isinstance(a, np.ndarray) for a in value):
                written.update({f"{field.name}_{k}": array for k, array in enumerate(value)})
            elif value is not None or field.default is not None:
                written[field.name] = value
        write_archive(path, self._kind, **written)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> typing.Self:
        """Read what `save` wrote, in this or an older version; needs neither Keras nor the model.

        Args:
            path: Path of the file.

        Returns:
            An object equal to the one that was saved.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: The file is damaged or of another kind.
        """
        stored = read_archive(path, cls._kind)
        make: typing.Any = cls
        try:
            found = [(field.name, _restored(stored, field)) for field in _fields(cls)]
            fields = {name: value for name, value in found if value is not _ABSENT}
            return make(**cls._completed(fields))
        except Exception as error:  # of fields that are made to break a class: any
            raise damaged(path, cls._kind, error) from error

    @classmethod
    def _completed(cls, fields: dict[str, typing.Any]) -> dict[str, typing.Any]:
        """The fields that a file has, with what one of an older version does not say."""
        return fields


_ABSENT = object()


def _fields(saved: typing.Any) -> tuple[dataclasses.Field, ...]:
    return dataclasses.fields(saved)


def _restored(stored: dict[str, np.ndarray], field: dataclasses.Field) -> typing.Any:
    """The value of a field as it was saved; `_ABSENT` where it is not there and has a default."""
    name = field.name
    if name in stored:
        if field.metadata == AS_JSON:
            return json.loads(_checked(name, _plain(stored[name]), str))
        return _checked(name, stored[name], field.type)
    if f"{name}_0" in stored:
        numbered = (f"{name}_{k}" for k in range(len(stored)))
        found = tuple(stored[key] for key in numbered if key in stored)
        return _checked(name, found, field.type)
    missing = dataclasses.MISSING
    if field.default is missing and field.default_factory is missing:
        raise KeyError(name)
    return _ABSENT


def _checked(name: str, value: typing.Any, wanted: typing.Any) -> typing.Any:
    """What was in a file, in the form that the annotation of its field has, or an error."""
    for form in (value, _plain(value)):
        if _is_a(form, wanted):
            return form
    kind = f"an array {value.shape} of {value.dtype}" if isinstance(value, np.ndarray) else value
    raise TypeError(f"`{name}` is {kind}")


def _plain(value: typing.Any) -> typing.Any:
    """An array of no dimension as a number or a text, one of texts or of nothing as a tuple."""
    if not isinstance(value, np.ndarray):
        return value
    if not value.ndim:
        return value.item()
    return tuple(value.tolist()) if value.dtype.kind == "U" or not value.size else value


def _is_a(value: typing.Any, wanted: typing.Any) -> bool:
    if wanted is np.ndarray:
        return isinstance(value, np.ndarray) and value.dtype.kind in "biuf"
    parts = typing.get_args(wanted)
    if typing.get_origin(wanted) is tuple:
        return isinstance(value, tuple) and all(_is_a(part, parts[0]) for part in value)
    if parts:  # one of several
        return any(_is_a(value, part) for part in parts)
    if not isinstance(wanted, type):
        return True
    return isinstance(value, (int, float) if wanted is float else wanted)


def frozen(values: ArrayLike, dtype: DTypeLike | None = None) -> np.ndarray:
    """An array that nobody writes to: a copy, but of one that is read-only already."""
    if type(values) is np.ndarray and dtype in (None, values.dtype):
        flags = values.flags
        if flags.owndata and not flags.writeable:
            return values
    array = np.array(values, dtype)
    array.setflags(write=False)
    return array


def same(a: object, b: object) -> bool:
    """Whether two values are equal, arrays and NaN among them."""
    if a is b:
        return True
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind in "fc")
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return False
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple) and type(a) is type(b):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b) or bool(a != a and b != b)


def _mark(value: object) -> int:
    """A hash of a value: equal for all that `same` calls equal, and quick."""
    if isinstance(value, np.ndarray):
        return hash(value.shape)
    if isinstance(value, dict):
        return len(value)
    if isinstance(value, list | tuple):
        return hash(tuple(map(_mark, value)))
    if isinstance(value, float) and value != value:
        return hash("NaN")
    return hash(value)


def counted(number: int, noun: str) -> str:
    """A number of things: "1 row", "26,000 rows"."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def grid_text(axes: Sequence[np.ndarray], labels: Iterable[str], noun: str) -> str:
    """A grid in words: "21 x 31 points over slope and intercept"."""
    sizes = " x ".join(f"{len(axis):,}" for axis in axes)
    plural = "" if all(len(axis) == 1 for axis in axes) else "s"
    return f"{sizes} {noun}{plural} over {' and '.join(map(cut, labels))}"


def place_text(position: Iterable[float]) -> str:
    """Coordinates: "0.5", or "(0.5, 2)"."""
    numbers = [f"{c + 0.0:.4g}" for c in position]
    return numbers[0] if len(numbers) == 1 else f"({', '.join(numbers)})"


def range_text(numbers: np.ndarray) -> str:
    """The range of numbers, and how many are not finite: "0.5 to 4, 2 not finite"."""
    finite = numbers[np.isfinite(numbers)]
    parts = [f"{finite.min():.4g} to {finite.max():.4g}"] if finite.size else []
    if finite.size < numbers.size:
        parts.append(f"{numbers.size - finite.size:,} not finite")
    return ", ".join(parts) or "none"


def cut(text: object, most: int = 24) -> str:
    """The begin of a text that is too long for its place."""
    text = str(text)
    return text if len(text) <= most else f"{text[: most - 3]}..."
