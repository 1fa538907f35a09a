"""Results: equal by value, one short line in print, arrays that stay, files of all versions."""

import copy
import dataclasses
import pickle
import typing

import numpy as np
import pytest

import keras_valleys as kv
from keras_valleys._results import AS_JSON, Result, Saved, frozen, same

NAN = float("nan")
LONG = "a name that is much longer than the space for it, and goes on and on and on and on"


def surface(label="slope"):
    losses = np.array([[3.0, np.nan], [0.25, np.inf], [2.0, 1.0]])
    axes = [[-1.0, 0.5, 2.0], [4.0, 6.0]]
    details = {"data": "abc", "versions": {"keras": "3"}, "none": None}
    return kv.surfaces.Surface(
        losses, axes, np.eye(2, 3), np.arange(3.0), [label, "bias"], "mse", details
    )


def curve():
    x = np.linspace(-2, 3, 501)
    return kv.surfaces.Surface(np.cos(np.pi * x), [x], [[1.0]], [0.0], ["x"])


def trajectory(label="SGD"):
    weights = np.arange(6, dtype="float32").reshape(3, 2)
    return kv.trajectories.Trajectory([0, 1, 4], weights, [3.0, 2.5, np.nan], label, "measured")


def walk():
    return kv.trajectories.Trajectory([0, 1, 2], [[-0.9], [-0.2], [0.3]], [0.25, NAN, 1.0], "SGD")


def basin_map(label="phi"):
    shape = (2, 4, 3)
    return kv.descents.BasinMap(
        np.arange(24).reshape(shape) % 5 - 1,
        np.full(shape, np.nan),
        np.ones((*shape, 1)),
        np.zeros(shape),
        [[-1.0, 0.5, 2.0]],
        [label],
        ["SGD", "adam"],
        100,
        [0.1, 0.2, 0.4, 0.8],
    )


def directions(label="first"):
    details = {"kind": "random", "seeds": [1, 2]}
    return kv.directions.Directions([[1, 0, 0], [0, 2, 5]], (label, "second"), details)


def descents(label="SGD"):
    weights, losses = np.array([[0.25], [np.nan], [2.0]]), np.array([0.0625, np.nan, 4.0])
    paths = np.arange(6.0).reshape(2, 3, 1)
    return kv.descents.Descents(weights, losses, paths, np.array([0, 2]), label)


def projection():
    return kv.trajectories.on_surface(walk(), curve())


def sharpness():
    return kv.gradients.Sharpness([4.0, 1.0], np.eye(2), 5.0, NAN, [1e-7, 2e-7], 12)


def valley():
    return kv.valleys.Valley(1, (-0.6283, 2.0), 0.519, np.inf, 0.75, ((1.0, NAN),))


def valleys():
    return kv.valleys.find_valleys(curve(), periodic=2.0)


def derailment():
    (found,) = kv.valleys.derailments(walk(), curve())
    return found


def run(label="adam"):
    numbers = (0.467, 0.46, 9, 0, 2, True, None, NAN, 1.5, None)
    path = trajectory(label)
    return kv.comparisons.Run(label, 0.05, 0, 3, "finished", "", *numbers, path)


def diverged():
    numbers = (NAN, 0.46, 9, None, None, False, None, None, 1.5, None)
    return kv.comparisons.Run("sgd", 0.1, 0, 3, "diverged", "why", *numbers, trajectory("sgd"))


def summary(label="adam"):
    interval = kv.comparisons.success_interval(4, 5)
    return kv.comparisons.Summary(label, 0.05, 5, 4, interval, 0, 1, np.inf, NAN, 1.5, None, 0.25)


def comparison():
    runs, notes = (run(), diverged()), ("a note",)
    return kv.comparisons.Comparison(
        runs, (summary(), summary("sgd")), runs[1:], valleys(), 0.01, notes
    )


def function():
    return kv.functions.beale()


def barrier_between(end=2.0):
    return kv.valleys.BarrierBetween(curve(), 1.0, end, 3.0, 0.25)


def shift(gap=0.5):
    places = np.array([1.0]), np.array([1.5])
    numbers = 0.1, 0.2, 0.3, 0.4, np.array([0.5]), 0.5
    return kv.valleys.Shift(*places, *numbers, (False, True), np.arange(1), np.array([gap]), "true")


MAKES = [
    shift,
    function,
    surface,
    curve,
    trajectory,
    walk,
    basin_map,
    directions,
    descents,
    projection,
    sharpness,
    valley,
    valleys,
    derailment,
    run,
    diverged,
    summary,
    comparison,
    barrier_between,
]
SAVED = [surface, curve, trajectory, walk, basin_map]


def other(value):
    """Values that differ from a value."""
    if isinstance(value, np.ndarray):
        if value.size:
            changed = np.array(value)
            changed.flat[-1] = 77 if changed.dtype.kind in "iu" else 77.5
            yield changed
        else:
            yield np.zeros((*value.shape[:-1], 1), value.dtype)
        if value.dtype.kind == "f":
            yield value.astype("float32" if value.dtype == "float64" else "float64")
    elif isinstance(value, tuple) and value and isinstance(value[-1], Result):
        yield value[:-1]
    elif isinstance(value, tuple):
        for last in other(value[-1]) if value else ["more"]:
            yield (*value[:-1], last)
    elif isinstance(value, dict):
        yield {**value, "more": 1}
        yield {**value, "kind": {"keras": "4"}}
    elif isinstance(value, str):
        yield f"{value} and more"
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield 78
    elif isinstance(value, Result):
        yield None
    else:
        yield 79


def with_field(result, name, value):
    """A copy with another value, whether it fits or not."""
    changed = copy.copy(result)
    object.__setattr__(changed, name, value)
    return changed


@pytest.mark.parametrize("make", MAKES)
def test_equal_where_all_fields_are(make):
    one, another = make(), make()
    assert one is not another
    assert (one == another) is True and (one != another) is False and hash(one) == hash(another)
    assert one == pickle.loads(pickle.dumps(one)) == copy.deepcopy(one)
    assert len({one, another}) == 1
    for stranger in (None, 1, "text", dataclasses.astuple, (one,)):
        assert one != stranger and stranger != one


@pytest.mark.parametrize("make", MAKES)
def test_unequal_where_one_field_differs(make):
    one = make()
    compared = 0
    for field in dataclasses.fields(one):
        for value in other(getattr(one, field.name)):
            changed = with_field(one, field.name, value)
            compared += field.compare
            assert (one != changed) is (changed != one) is field.compare, field.name
    assert compared >= len(dataclasses.fields(one)) - 4


def test_what_does_not_count_in_a_comparison():
    not_compared = {
        kv.comparisons.Run: {"seconds_to_floor", "seconds", "log_dir", "trajectory"},
        kv.comparisons.Summary: {"seconds"},
        kv.valleys.Valleys: {"_passes", "_places"},  # worked out from the other fields
    }
    for kind in every_class():
        aside = {field.name for field in dataclasses.fields(kind) if not field.compare}
        assert aside == not_compared.get(kind, set())


def test_no_two_kinds_are_equal():
    made = [make() for make in MAKES]
    assert len(set(made)) == len(made)
    valley_like = kv.valleys.Derailment(*[1] * 4)
    assert valley_like != kv.gradients.Sharpness(*[1] * 6) and hash(valley_like)


def test_same_against_numbers_one_by_one():
    random = np.random.RandomState(3)
    for _ in range(300):
        shape = tuple(random.randint(0, 3, random.randint(0, 3)))
        values = [0.0, -0.0, 1.0, NAN, np.inf, -np.inf]
        a, b = random.choice(values, (2, *shape))
        b = a.copy() if random.rand() < 0.3 else b
        pairs = list(zip(np.ravel(a).tolist(), np.ravel(b).tolist(), strict=True))
        expected = all(x == y or (x != x and y != y) for x, y in pairs)
        assert same(a, b) is same(b, a) is same((a, [1]), (b, [1])) is expected
        assert same({"k": a}, {"k": b}) is expected and not same({"k": a}, {"j": b})
    assert not same(np.zeros((2, 1)), np.zeros((1, 2))) and not same(np.zeros(1), [0.0])
    assert not same(np.zeros(2), np.zeros(2, "float32")) and not same((1, 2), (1, 2, 3))
    assert same(NAN, np.float64("nan")) and same(1, 1.0) and not same((1,), [1])
    assert same(np.array(["a", "b"]), np.array(["a", "b"]))


@pytest.mark.parametrize("make", MAKES)
def test_one_short_line_in_print(make):
    text = repr(make())
    assert len(text) <= 100 and "\n" not in text and "array" not in text
    assert text.startswith(f"{type(make()).__name__}(") and text.endswith(")")
    tables = (kv.valleys.Valleys, kv.comparisons.Comparison)
    assert (str(make()) == text) is not isinstance(make(), tables)


@pytest.mark.parametrize(
    "make", [surface, trajectory, basin_map, directions, descents, run, summary]
)
def test_one_short_line_for_the_longest_names(make):
    text = repr(make(LONG))
    assert len(text) <= 100 and "a name that is much" in text and LONG not in text
    assert len(repr(make("two\nlines"))) <= 100 and "\n" not in repr(make("two\nlines"))


@pytest.mark.parametrize(
    "make, expected",
    [
        (surface, "Surface(3 x 2 points over slope and bias, loss 'mse', lowest 0.25 at (0.5, 4))"),
        (curve, "Surface(501 points over x, loss 'loss', lowest -1 at -1)"),
        (trajectory, "Trajectory(3 rows of 2 weights, steps 0 to 4, label='SGD')"),
        (basin_map, "BasinMap(2 optimizers, 4 learning rates, 3 starts over phi, 100 steps)"),
        (directions, "Directions(2 directions over 3 weights: first, second)"),
        (
            descents,
            "Descents(3 descents of 1 weight by SGD, final losses 0.0625 to 4, 1 not finite)",
        ),
        (
            projection,
            "Projection(3 rows of 1 weight on a line, 100 % of the variance in it, label='SGD')",
        ),
        (sharpness, "Sharpness(eigenvalues 4, 1 over 2 weights, trace 5)"),
        (valley, "Valley(1 at (-0.6283, 2), loss 0.519, depth inf, width 0.75)"),
        (valleys, "Valleys(1 valley over x, lowest -1 at -1)"),
        (derailment, "Derailment(step 1, from valley 0 to 1, rise nan)"),
        (run, "Run(adam at 0.05, start 0, seed 3, finished, final loss 0.467)"),
        (summary, "Summary(adam at 0.05, 4 of 5 runs succeeded, final loss inf)"),
        (comparison, "Comparison(2 optimizers, 2 runs, best adam: 4 of 5 runs succeeded)"),
    ],
)
def test_what_the_line_says(make, expected):
    if make is derailment:
        expected = repr(make())  # which of two equal valleys is the first is not asked here
        assert expected.startswith("Derailment(step 1, from valley ")
    assert repr(make()) == expected


def test_the_line_of_what_is_empty_or_nowhere_finite():
    none = kv.surfaces.Surface([NAN, np.inf], [[0, 1]], [[1.0]], [0.0], ["x"])
    assert repr(none) == "Surface(2 points over x, loss 'loss', nowhere finite)"
    path = kv.trajectories.Trajectory([], np.empty((0, 26000)), [])
    assert repr(path) == "Trajectory(0 rows of 26,000 weights)"
    assert repr(kv.comparisons.Comparison((), ())) == "Comparison(0 optimizers, 0 runs)"
    assert repr(kv.valleys.find_valleys(none)) == "Valleys(0 valleys over x)"


def arrays_of(value):
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, tuple):
        for part in value:
            yield from arrays_of(part)
    elif isinstance(value, Result):
        for field in dataclasses.fields(value):
            yield from arrays_of(getattr(value, field.name))


@pytest.mark.parametrize("make", MAKES)
def test_arrays_and_fields_stay_as_they_are(make):
    one = make()
    for array in arrays_of(one):
        assert not array.flags.writeable
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(one, dataclasses.fields(one)[0].name, 0)


def test_what_is_given_is_copied_and_what_is_frozen_is_shared():
    weights = np.arange(6.0).reshape(3, 2)
    path = kv.trajectories.Trajectory(range(3), weights, np.ones(3))
    view = weights[:]
    view.setflags(write=False)  # read-only, but its base is not
    other_path = kv.trajectories.Trajectory(range(3), view, np.ones(3))
    weights[0] = 9
    assert path.weights[0, 0] == other_path.weights[0, 0] == 0 and weights.flags.writeable
    again = dataclasses.replace(path, label="again")
    assert again.weights is path.weights  # a path of a large network is not copied for its label
    assert frozen(path.weights, "float32").dtype == "float32"
    found = kv.descents.Descents(weights, np.ones(3), None, np.empty(0, int), "SGD")
    weights[0] = 8
    assert found.weights[0, 0] == 9 and found.paths is None


@pytest.mark.parametrize("make", SAVED)
def test_saved_and_loaded_they_are_equal(make, tmp_path):
    one = make()
    one.save(tmp_path / "file.npz")
    assert type(one).load(tmp_path / "file.npz") == one
    with np.load(tmp_path / "file.npz", allow_pickle=False) as archive:
        kinds = {"Surface": "surface", "Trajectory": "trajectory", "BasinMap": "basin_map"}
        assert str(archive["kind"]) == f"keras_valleys.{kinds[type(one).__name__]}.1"
    cls = kv.surfaces.Surface if make is basin_map else kv.descents.BasinMap
    with pytest.raises(ValueError, match=f"file written by `{cls.__name__}.save`.*its kind is"):
        cls.load(tmp_path / "file.npz")


@pytest.mark.parametrize("make, missing", [(surface, "coordinates_0"), (trajectory, "losses")])
def test_a_file_without_a_field_that_has_no_default_is_damaged(make, missing, tmp_path):
    make().save(tmp_path / "file.npz")
    with np.load(tmp_path / "file.npz") as archive:
        fields = {name: archive[name] for name in archive.files if name != missing}
    np.savez(tmp_path / "file.npz", **fields)
    with pytest.raises(ValueError, match="damaged or of another kind"):
        type(make()).load(tmp_path / "file.npz")


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Early(Result, Saved, kind="test"):
    axes: tuple
    numbers: np.ndarray
    name: str
    count: int = 3

    def __post_init__(self):
        self._set(numbers=frozen(self.numbers), axes=tuple(map(frozen, self.axes)))

    def _in_short(self):
        return self.name


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Late(Result, Saved, kind="test"):
    axes: tuple
    numbers: np.ndarray
    name: str
    count: int = 3
    statistics: np.ndarray | None = None
    rate: float = 0.5
    units: tuple = ("none",)
    periods: tuple = dataclasses.field(default=(), metadata=AS_JSON)
    details: dict = dataclasses.field(default_factory=dict, metadata=AS_JSON)

    def __post_init__(self):
        self._set(numbers=frozen(self.numbers), axes=tuple(map(frozen, self.axes)))
        self._set(periods=tuple(self.periods))
        if self.statistics is not None:
            self._set(statistics=frozen(self.statistics))

    def _in_short(self):
        return self.name


AXES = (np.arange(2.0), np.arange(5.0))


class Old(Late, kind="test"):
    """Of an older version a file says nothing of units."""

    @classmethod
    def _completed(cls, fields):
        return fields if "units" in fields else {**fields, "units": (fields["name"],)}


LATER: list[dict[str, typing.Any]] = [
    {},
    {"statistics": np.arange(6.0).reshape(2, 3)},
    {"periods": (np.pi, None), "units": ("radian", "")},
    {"details": {"none": None, "a": [1, {"b": 2.5}]}, "rate": 1 / 3},
]


@pytest.mark.parametrize("fields", LATER)
def test_a_field_that_is_added_later(fields, tmp_path):
    path = tmp_path / "file.npz"
    Early(AXES, np.arange(3), "früh", 4).save(path)
    early = Late.load(path)
    assert early == Late(AXES, np.arange(3), "früh", 4) and early.statistics is None
    late = Late(AXES, np.arange(3), "spät", **fields)
    late.save(path)
    assert Late.load(path) == late and (not fields or late != early)
    loaded = Early.load(path)  # an older version takes what it knows
    assert loaded == Early(AXES, np.arange(3), "spät") and type(loaded.count) is int


def test_what_an_older_file_does_not_say(tmp_path):
    path = tmp_path / "file.npz"
    Early(AXES, np.arange(3), "rad").save(path)
    assert Old.load(path).units == ("rad",)
    Old(AXES, np.arange(3), "rad").save(path)
    assert Old.load(path).units == ("none",)


def test_what_is_no_number_or_text_is_not_saved(tmp_path):
    with pytest.raises(ValueError, match="`Test.save` expects numbers and text.*'units'"):
        Late(AXES, np.arange(3), "name", units=(None, 1)).save(tmp_path / "file.npz")
    assert not list(tmp_path.iterdir())


def every_class():
    """All results of the package."""
    for namespace in kv.__all__:
        getattr(kv, namespace)
    found = [kind for kind in Result.__subclasses__() if kind.__module__.startswith("keras_v")]
    assert len(found) >= 13
    return found


def test_every_result_takes_all_from_the_base():
    for kind in every_class():
        assert dataclasses.is_dataclass(kind) and kind.__dataclass_params__.frozen, kind
        for method in ("__eq__", "__hash__", "__repr__"):
            assert getattr(kind, method) is getattr(Result, method), kind
        assert not kind.__subclasses__(), "one level of inheritance"
    assert {type(make()) for make in MAKES} == set(every_class())
