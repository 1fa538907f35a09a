"""Text, sparse and ragged tensors, frames: as `model.evaluate` takes them, or refused."""

import pickle

import keras
import numpy as np
import pytest
from keras import layers
from numpy.lib import recfunctions

import keras_valleys as kv
from helpers import references
from helpers.objectives import some_points
from keras_valleys._arrays import Ragged, Sparse, as_arrays
from keras_valleys.objectives import Objective
from keras_valleys.objectives.data import Batches

BACKEND = keras.config.backend()
ON_TENSORFLOW = pytest.mark.skipif(BACKEND != "tensorflow", reason="text is for TensorFlow")
TEXTS = ["the cat sat", "a dog", "the dog sät on a cat", "", "cat cat", "dog bird sat", "on a"]
KINDS = ["u", "v", "u", "w", "v", "v", "u"]
WIDE = np.where(np.random.RandomState(5).rand(7, 5) < 0.5, 0, np.arange(35).reshape(7, 5) / 17)
TOKENS = [[1, 2], [3], [4, 5, 6], [], [7], [8, 9, 1, 2], [2]]
Y = np.array([0, 1, 1, 0, 1, 0, 1], "float32")[:, None]
NUMBERS = np.linspace(-1, 2, 7)


def dense_model(width):
    return compiled(keras.Sequential([keras.Input((width,)), layers.Dense(1)]))


def sparse_model():
    inputs = keras.Input((5,), sparse=BACKEND != "torch")
    return compiled(keras.Model(inputs, layers.Dense(1)(inputs)))


def text_model(shape=()):
    inputs = keras.Input(shape, dtype="string")
    return compiled(keras.Model(inputs, head()(vectorizer()(inputs))))


def vectorizer():
    layer = layers.TextVectorization(output_sequence_length=4)
    layer.adapt(TEXTS)
    return layer


def head():
    return keras.Sequential([layers.Embedding(20, 3), layers.GlobalMaxPooling1D(), layers.Dense(1)])


def ids_model():
    inputs = keras.Input((4,), dtype="int32")
    return compiled(keras.Model(inputs, head()(inputs)))


def column_model():
    """A number and a text for each row, by name."""
    number = keras.Input((1,), name="number")
    kind = keras.Input((1,), name="kind", dtype="string")
    one_hot = layers.StringLookup(vocabulary=["u", "v"], output_mode="one_hot")(kind)
    outputs = layers.Dense(1)(layers.Concatenate()([number, one_hot]))
    return compiled(keras.Model({"number": number, "kind": kind}, outputs))


@keras.saving.register_keras_serializable("tests")
class SumOfRows(layers.Layer):
    def call(self, rows):
        import tensorflow as tf

        return tf.reduce_sum(rows, axis=1)


def ragged_model():
    if BACKEND != "tensorflow":
        return compiled(
            keras.Sequential(
                [
                    keras.Input((None,)),
                    layers.Embedding(10, 3),
                    layers.GlobalAveragePooling1D(),
                    layers.Dense(1),
                ]
            )
        )
    inputs = keras.Input((None,), dtype="int32", ragged=True)
    vectors = SumOfRows()(layers.Embedding(10, 3)(inputs))
    return compiled(keras.Model(inputs, layers.Dense(1)(vectors)))


def compiled(model):
    model.compile("sgd", "mean_squared_error")
    return model


def of_tensorflow(*names):
    tf = pytest.importorskip("tensorflow")
    return [getattr(tf, name) for name in names]


def batched(x, y=Y):
    import tensorflow as tf

    return (tf.data.Dataset.from_tensor_slices((x, y)).batch(4),)


def sparse_of_tensorflow():
    (sparse,) = of_tensorflow("sparse")
    return sparse.from_dense(WIDE)


def ragged_of_tensorflow():
    (ragged,) = of_tensorflow("ragged")
    return ragged.constant(TOKENS, dtype="int32")


def of_jax():
    sparse = pytest.importorskip("jax.experimental.sparse")
    return sparse.BCOO.fromdense(WIDE.astype("float32"), nse=30)  # more places than numbers


def of_torch():
    return pytest.importorskip("torch").as_tensor(WIDE).to_sparse()


def of_scipy(kind):
    sparse = pytest.importorskip("scipy.sparse")
    return getattr(sparse, kind if "_" in kind else f"{kind}_array")(WIDE)


def scipy_with_places_twice():
    sparse = pytest.importorskip("scipy.sparse")
    rows, columns = np.nonzero(np.ones((7, 5)))
    both = np.tile([rows, columns], 2)[:, ::-1]
    return sparse.coo_array((np.tile(WIDE[rows, columns] / 2, 2)[::-1], both), shape=(7, 5))


def frame(**columns):
    return pytest.importorskip("pandas").DataFrame(columns)


def mixed_frame(dtype="float64"):
    pandas = pytest.importorskip("pandas")
    return pandas.get_dummies(frame(a=NUMBERS.astype(dtype), b=np.arange(7), kind=KINDS))


def in_numbers():
    kinds = [np.equal(KINDS, kind) for kind in "uvw"]
    return np.stack([NUMBERS, np.arange(7), *kinds], axis=1).astype("float32")


def series(values, **options):
    return pytest.importorskip("pandas").Series(values, **options)


def columns(of):
    return {"number": NUMBERS[:, None], "kind": of(KINDS)}


def column(values):
    return np.array(values)[:, None]


# Models and data that Keras itself takes.
TAKEN = {
    "text": (text_model, lambda: batched(TEXTS)),
    "text in objects": (text_model, lambda: (np.array(TEXTS, object), Y)),
    "text in a dictionary": (column_model, lambda: batched(columns(column))),
    "sparse": (sparse_model, lambda: (sparse_of_tensorflow(), Y)),
    "csr": (sparse_model, lambda: (of_scipy("csr_matrix"), Y)),
    "coo": (lambda: dense_model(5), lambda: (scipy_with_places_twice(), Y)),
    "ragged": (ragged_model, lambda: (ragged_of_tensorflow(), Y)),
    "frame": (lambda: dense_model(5), lambda: (mixed_frame(), Y)),
    "columns": (lambda: dense_model(1), lambda: (series(NUMBERS), series(Y[:, 0] > 0))),
}
OF_TEXT = [name for name in TAKEN if "text" in name]
CASES = [pytest.param(n, marks=ON_TENSORFLOW if n in OF_TEXT else []) for n in TAKEN]


@pytest.mark.parametrize("name", CASES)
def test_what_is_taken_is_evaluated_as_keras_does(name):
    keras.utils.set_random_seed(2)
    make, give = TAKEN[name]
    model, given = make(), give()
    size = {"batch_size": 4} if len(given) == 2 else {}
    objective = Objective(model, *given, **size)
    assert (objective.num_rows, objective.num_batches) == (7, 2)
    points = some_points(objective, 2)
    expected = references.evaluate_at(model, points, *[*given, None][:2], **size)
    assert expected[0] != expected[1]
    np.testing.assert_allclose(objective(points), expected, rtol=1e-5)
    if name in ("text in objects", "csr"):
        again = pickle.loads(pickle.dumps(objective))
        np.testing.assert_allclose(again(points), expected, rtol=1e-5)
    step = np.random.RandomState(1).normal(size=objective.size)
    slope = kv.gradients.gradient(objective, points[0]) @ step
    near = objective([points[0] - 1e-2 * step, points[0] + 1e-2 * step])
    assert slope == pytest.approx((near[1] - near[0]) / 2e-2, rel=0.02)


# What is given, and what it is the same as.
SAME = {
    "columns of text": (lambda: batched(column(TEXTS)), lambda: (column(TEXTS), Y)),
    "a tensor of text": (lambda: (of_tensorflow("constant")[0](TEXTS), Y), lambda: batched(TEXTS)),
    "text in unicode": (lambda: (np.array(TEXTS), Y), lambda: batched(TEXTS)),
    "text in bytes": (lambda: (np.array([t.encode() for t in TEXTS]), Y), lambda: batched(TEXTS)),
    "strings of NumPy 2": (
        lambda: (np.array(TEXTS, np.dtypes.StringDType()), Y),
        lambda: batched(TEXTS),
    ),
    "a series of text": (lambda: (series(TEXTS), Y), lambda: (column(TEXTS), Y)),
    "a frame of text": (lambda: (frame(a=KINDS, b=TEXTS), Y), lambda: (np.c_[KINDS, TEXTS], Y)),
    "a dictionary of series of text": (
        lambda: ({"number": series(NUMBERS), "kind": series(KINDS, dtype=object)}, Y),
        lambda: batched(columns(column)),
    ),
    "a frame as a dictionary of text": (
        lambda: (dict(frame(number=NUMBERS, kind=KINDS)), Y),
        lambda: (columns(column), Y),
    ),
    "a sparse data set": (lambda: batched(sparse_of_tensorflow()), lambda: (of_scipy("csr"), Y)),
    "sparse of JAX": (lambda: (of_jax(), Y), lambda: (sparse_of_tensorflow(), Y)),
    "sparse of torch": (lambda: (of_torch(), Y), lambda: (sparse_of_tensorflow(), Y)),
    "csc": (lambda: (of_scipy("csc"), Y), lambda: (sparse_of_tensorflow(), Y)),
    "a ragged data set": (
        lambda: batched(ragged_of_tensorflow()),
        lambda: (ragged_of_tensorflow(), Y),
    ),
    "a frame": (lambda: (mixed_frame(), Y), lambda: (in_numbers(), Y)),
    "a frame of float32": (lambda: (mixed_frame("float32"), Y), lambda: (in_numbers(), Y)),
    "integers and bools": (
        lambda: (frame(a=np.arange(7), b=NUMBERS > 0), Y),
        lambda: (np.c_[np.arange(7), NUMBERS > 0], Y),
    ),
    "equal labels": (
        lambda: (frame(a=NUMBERS, b=NUMBERS**2).set_axis(["a", "a"], axis=1), Y),
        lambda: (np.c_[NUMBERS, NUMBERS**2], Y),
    ),
    "columns named as methods": (
        lambda: (frame(row_splits=NUMBERS, tocoo=NUMBERS**2), Y),
        lambda: (np.c_[NUMBERS, NUMBERS**2], Y),
    ),
    "numbers that may be missing": (
        lambda: (frame(a=NUMBERS, b=range(7)).convert_dtypes(), Y),
        lambda: (np.c_[NUMBERS, np.arange(7)], Y),
    ),
    "weights in a column": (lambda: (WIDE, Y, series(NUMBERS)), lambda: (WIDE, Y, column(NUMBERS))),
}
PAIRS = [pytest.param(n, marks=ON_TENSORFLOW if "text" in n or "NumPy" in n else []) for n in SAME]


@pytest.mark.parametrize("name", PAIRS)
def test_equal_data_in_other_forms_are_equal(name):
    given, known = (
        Batches(*data, batch_size=4 if len(data) > 1 else None)
        for data in (make() for make in SAME[name])
    )
    assert given.fingerprint == known.fingerprint
    for one, other in zip(given, known, strict=True):
        for a, b in zip(keras.tree.flatten(one), keras.tree.flatten(other), strict=True):
            np.testing.assert_array_equal(as_dense(a), as_dense(b))


def as_dense(array):
    if isinstance(array, Sparse):
        dense = np.zeros(array.shape)
        dense[tuple(array.places.T)] = array.values
        return dense
    return array.values if isinstance(array, Ragged) else array


def test_rows_of_sparse_and_ragged_arrays():
    sparse = as_arrays("test", "x", of_scipy("coo"))
    ragged = as_arrays("test", "x", ragged_of_tensorflow())
    for rows in (slice(2, 5), slice(5, 20), slice(3, 3), np.array([6, 0, 0, 3]), slice(None)):
        np.testing.assert_allclose(as_dense(sparse[rows]), WIDE[rows])
        part, numbers = ragged[rows], np.arange(7)[rows]
        pairs = np.stack([part.splits[0][:-1], part.splits[0][1:]], axis=1)
        assert [part.values[a:b].tolist() for a, b in pairs] == [TOKENS[k] for k in numbers]
        assert len(part) == len(numbers) == sparse[rows].shape[0]


def test_rows_that_are_ragged_twice_are_filled_up_as_tensorflow_does(monkeypatch):
    (ragged,) = of_tensorflow("ragged")
    monkeypatch.setattr("keras_valleys._backend.has_ragged", lambda: False)
    given = ragged.constant(
        [[[[1, 2]], []], [[[3, 4], [5, 6], [7, 8]]], [], [[], [], [[9, 1]]]], inner_shape=(2,)
    )
    array = as_arrays("test", "x", given)
    for rows in (slice(None), slice(1, 4), slice(2, 3)):
        found = keras.ops.convert_to_numpy(array[rows].tensor())
        np.testing.assert_array_equal(found, given[rows].to_tensor().numpy())


def test_sparse_and_ragged_data_are_copied():
    given = of_scipy("csr")
    model = sparse_model()
    objective = Objective(model, given, Y)
    before = float(objective(objective.point()))
    given.data[:] = 9
    assert float(objective(objective.point())) == before


@pytest.mark.skipif(BACKEND == "tensorflow", reason="TensorFlow has text")
@pytest.mark.parametrize("name", [name for name in SAME if "text" in name])
def test_text_where_there_is_none_is_refused(name):
    with pytest.raises(ValueError, match=f"the {BACKEND} backend has no text") as told:
        Batches(*SAME[name][0]())
    for part in ("dataset.map(lambda x, y: (layer(x), y))", "`layer(x)`", "tensorflow backend"):
        assert part in str(told.value)


def test_text_may_be_read_before_the_model():
    keras.utils.set_random_seed(4)
    layer, model = vectorizer(), ids_model()
    of_arrays = Objective(model, layer(np.array(TEXTS)), Y)
    (dataset,) = batched(TEXTS)
    of_dataset = Objective(model, dataset.map(lambda x, y: (layer(x), y)))
    points = some_points(of_arrays)
    np.testing.assert_allclose(of_arrays(points), of_dataset(points), rtol=1e-5)
    if BACKEND == "tensorflow":
        inputs = keras.Input((), dtype="string")
        whole = Objective(compiled(keras.Model(inputs, model(layer(inputs)))), np.array(TEXTS), Y)
        np.testing.assert_allclose(whole(points), of_arrays(points), rtol=1e-5)


def with_date():
    return frame(a=NUMBERS, day=np.arange(7).astype("datetime64[D]").astype("datetime64[s]"))


# What is refused, what is said, and what the remedy makes of it.
REFUSED = {
    "a list of lists": (WIDE.tolist, "Use `numpy.array(x)`", np.array),
    "a list of texts": (lambda: TEXTS, "Use `numpy.array(x)`", None),
    "lists of several lengths": (
        lambda: TOKENS,
        "keras.utils.pad_sequences",
        lambda x: keras.utils.pad_sequences(x, 5),
    ),
    "objects of several lengths": (
        lambda: np.array(TOKENS, object),
        "keras.utils.pad_sequences",
        lambda x: keras.utils.pad_sequences(x, 5),
    ),
    "a name of a file": (lambda: "data.csv", "that you pass to `model.evaluate`", None),
    "numbers in objects": (
        lambda: WIDE.astype(object),
        "Use `x.astype('float32')`",
        lambda x: x.astype("float32"),
    ),
    "missing texts": (
        lambda: np.array([*TEXTS[:-1], None], object),
        "None, a NoneType, in an array of the dtype 'object' ... texts where none is missing",
        None,
    ),
    "times": (
        lambda: np.arange(35).reshape(7, 5).astype("datetime64[s]"),
        "such as `x.astype('int64')`",
        lambda x: x.astype("int64"),
    ),
    "fields": (
        lambda: np.zeros(7, [(name, "f4") for name in "abcde"]),
        "`numpy.lib.recfunctions.structured_to_unstructured",
        lambda x: recfunctions.structured_to_unstructured(x),
    ),
    "text among numbers": (
        lambda: frame(a=NUMBERS, b=NUMBERS, kind=KINDS),
        "'kind' of text, such as 'u'. ... `pandas.get_dummies(frame)`",
        lambda x: pytest.importorskip("pandas").get_dummies(x),
    ),
    "categories": (
        lambda: frame(a=NUMBERS, b=NUMBERS, kind=series(KINDS, dtype="category")),
        "'kind' of text, such as 'u'. ... `pandas.get_dummies(frame)`",
        lambda x: pytest.importorskip("pandas").get_dummies(x),
    ),
    "a day": (
        with_date,
        "'day' of times",
        lambda x: x.assign(day=x.day.astype("int64"), c=1, d=2, e=True),
    ),
    "missing objects": (
        lambda: frame(a=NUMBERS, b=[True, False, True, None, True, True, False]),
        "'b' of objects, such as None. ... `frame.fillna(0)`",
        lambda x: x.fillna(0).assign(b=x.b.fillna(0).astype(bool), c=1, d=2, e=True),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_told_in_short_and_the_remedy_works(name):
    make, message, remedy = REFUSED[name]
    given, model = make(), dense_model(5)
    with pytest.raises(ValueError, match="^`Objective` expects ") as told:
        Objective(model, given, Y)
    assert len(str(told.value)) < 400
    assert all(part in str(told.value) for part in message.split(" ... "))
    if remedy is not None:
        objective = Objective(model, remedy(given), Y)
        assert np.isfinite(objective(objective.point()))


def test_a_long_list_is_told_in_short():
    with pytest.raises(ValueError, match="Use `numpy.array") as told:
        Objective(dense_model(5), np.zeros((2000, 5)).tolist(), Y)
    assert len(str(told.value)) < 250
    with pytest.raises(ValueError, match=r"`y` to be an array.*Use `numpy.array\(y\)`"):
        Objective(dense_model(5), WIDE, Y.tolist())


COMPARED = {
    "text": (text_model, lambda: np.array(TEXTS, object)),
    "sparse": (sparse_model, lambda: of_scipy("csr")),
    "frame": (lambda: dense_model(5), mixed_frame),
}


@pytest.mark.parametrize("name", COMPARED)
def test_comparisons_take_them_too(name):
    if name == "text" and BACKEND != "tensorflow":
        pytest.skip("text is for TensorFlow")
    make, give = COMPARED[name]
    found = kv.comparisons.compare(
        make, keras.optimizers.SGD(0.01), give(), Y, starts=1, steps=3, batch_size=4
    )
    (run,) = found.runs
    assert run.reason == "" and np.all(np.isfinite(run.trajectory.losses))
