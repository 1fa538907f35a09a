"""Files that are made to break who reads them end in one clear error, and in little memory."""

import os
import tracemalloc
import zipfile

import numpy as np
import pytest

import keras_valleys as kv
from helpers import crafted
from helpers.formulas import PLANE, Heavy
from keras_valleys import _files
from keras_valleys._files import MOST_UNPACKED, read_archive, write_archive
from keras_valleys.descents import BasinMap
from keras_valleys.surfaces import Surface, evaluate
from keras_valleys.trajectories import Trajectory

AXIS = np.linspace(-2, 3, 7)
SURFACE = Surface(
    np.cos(AXIS), [AXIS], [[1.0, 2.0]], [0.0, 0.5], ["phi"], details={"a": [1]}, periods=6.0
)
PATH = Trajectory(
    [0, 1, 4],
    np.arange(6.0).reshape(3, 2),
    [0.5, 0.4, np.nan],
    "adam",
    "somewhere",
    np.ones((3, 1)),
    ["mean"],
    no_steps=[4],
)
MAP = BasinMap(
    np.array([[[0, 1, -1]]]),
    np.zeros((1, 1, 3)),
    np.zeros((1, 1, 3, 1)),
    np.zeros((1, 1, 3)),
    [AXIS[:3]],
    ["phi"],
    ["sgd"],
    10,
    [0.1],
)
RESULTS = {"Surface": SURFACE, "Trajectory": PATH, "BasinMap": MAP}


@pytest.fixture
def little_memory():
    """Fails where more is allocated than a file may need."""
    tracemalloc.start()
    yield
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 100e6


def check_refused(path, result):
    """Loading ends in the one error."""
    name = type(result).__name__
    with pytest.raises(ValueError, match=f"`{name}.load` expects a file written by") as caught:
        type(result).load(path)
    assert len(str(caught.value)) < 1500 and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", RESULTS)
def test_each_field_may_be_anything(name, tmp_path):
    result = RESULTS[name]
    result.save(tmp_path / "good.npz")
    good = crafted.content_of(tmp_path / "good.npz")
    assert type(result).load(tmp_path / "good.npz") == result
    refused = 0
    for field in good:
        for content in crafted.UNFIT.values():
            path = crafted.write(tmp_path / "bad.npz", {**good, field: content})
            refused += is_refused(path, result)
    assert refused > 0.9 * len(good) * len(crafted.UNFIT)
    for field in good:
        is_refused(crafted.write(tmp_path / "bad.npz", {**good, field: None}), result)


def is_refused(path, result):
    """Whether loading ends in the one error; else it is a whole result, if another one."""
    try:
        found = type(result).load(path)
    except ValueError:
        check_refused(path, result)
        return True
    assert len(repr(found)) <= 100 and hash(found) == hash(found)
    found.save(path)
    assert type(result).load(path) == found
    return False


@pytest.mark.parametrize(
    "name, field, what",
    [
        ("Surface", "labels", "a number"),
        ("BasinMap", "labels", "a whole number"),
        ("Trajectory", "steps", "a whole number"),
        ("Trajectory", "steps", "steps that turn negative"),
        ("Trajectory", "statistics_names", "a number"),
        ("Surface", "details", "nested JSON"),
        ("Surface", "details", "nested dictionaries"),
        ("Surface", "periods", "periods of 10^400"),
        ("Surface", "losses", "a number"),
        ("Surface", "losses", "no array"),
        ("BasinMap", "steps", "texts"),
    ],
)
def test_what_must_be_refused(name, field, what, tmp_path):
    RESULTS[name].save(tmp_path / "good.npz")
    good = crafted.content_of(tmp_path / "good.npz")
    path = crafted.write(tmp_path / "bad.npz", {**good, field: crafted.UNFIT[what]})
    check_refused(path, RESULTS[name])


def test_what_an_array_declares_is_not_made(tmp_path, little_memory):
    PATH.save(tmp_path / "good.npz")
    good = crafted.content_of(tmp_path / "good.npz")
    for what in list(crafted.UNFIT)[:9]:
        path = crafted.write(tmp_path / "bad.npz", {**good, "weights": crafted.UNFIT[what]})
        check_refused(path, PATH)


def test_what_unpacks_to_much_more_is_told_before(tmp_path):
    PATH.save(tmp_path / "good.npz")
    good = crafted.content_of(tmp_path / "good.npz")
    rest = {name: content for name, content in good.items() if name != "weights"}
    path = crafted.zeros(tmp_path / "bomb.npz", "weights", rest, (3, 2**25))
    assert os.path.getsize(path) < 4e6
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"its 3,\d+,\d+ bytes would unpack to 805,\d+,\d+"):
        Trajectory.load(path)
    # What it says of its size may be less, and then no more is unpacked.
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        size = archive.getinfo("weights.npy").file_size
    path.write_bytes(content.replace(size.to_bytes(4, "little"), (1000).to_bytes(4, "little")))
    check_refused(path, PATH)
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


def test_files_of_nothing_but_zeros_load(tmp_path):
    axis = np.arange(1.0, 3001)
    flat = Surface(np.zeros((3000, 2999)), [axis, axis[:-1]], np.eye(2), [0.0, 0.0])
    flat.save(tmp_path / "flat.npz")
    assert flat.losses.nbytes > 200 * os.path.getsize(tmp_path / "flat.npz")
    assert flat.losses.nbytes < MOST_UNPACKED
    assert Surface.load(tmp_path / "flat.npz") == flat


def test_what_would_not_be_unpacked_again_is_not_packed(tmp_path, monkeypatch):
    monkeypatch.setattr(_files, "MOST_UNPACKED", 10_000)
    axis = np.arange(1.0, 301)
    for losses in (np.zeros((300, 299)), np.random.RandomState(3).normal(size=(300, 299))):
        surface = Surface(losses, [axis, axis[:-1]], np.eye(2), [0.0, 0.0])
        surface.save(tmp_path / "file.npz")
        assert Surface.load(tmp_path / "file.npz") == surface
    packed = os.path.getsize(tmp_path / "file.npz")
    assert packed < 0.97 * losses.nbytes  # noise is packed as before


@pytest.mark.parametrize("field", ["digest", "sizes", "finished", "losses", "kind"])
def test_checkpoints(field, tmp_path):
    path = tmp_path / "surface.partial.npz"
    with pytest.raises(ZeroDivisionError):
        evaluate(Heavy(error_at=2.0), **PLANE, checkpoint=path)
    good = crafted.content_of(path)
    more = {
        "negative sizes": crafted.member(np.array([400, -78])),
        "sizes that overflow": crafted.member(np.array([2**62, 2**62, 2**63 - 2, 324])),
        "sizes of another dtype": crafted.member(np.array([322], "uint64")),
        "all finished": crafted.member(np.ones(322, "int8")),
        "losses of another shape": crafted.member(np.ones((322, 2))),
        "losses of whole numbers": crafted.member(np.ones(322, int)),
        "other points": crafted.member(np.ones(321)),
    }
    for content in [*crafted.UNFIT.values(), *more.values()]:
        crafted.write(path, {**good, field: content})
        with pytest.raises(ValueError, match="`checkpoint` to be (a file that it|of the same)"):
            evaluate(Heavy(), **PLANE, checkpoint=path)
    crafted.write(path, good)
    assert evaluate(Heavy(), **PLANE, checkpoint=path).losses.shape == (23, 14)


def test_the_checksums_of_all_members_are_compared(tmp_path):
    write_archive(tmp_path / "file", "test", numbers=np.arange(5000.0), empty=np.empty((0, 3)))
    content = bytearray((tmp_path / "file").read_bytes())
    found = read_archive(tmp_path / "file", "test")
    assert found["numbers"].tolist() == list(range(5000)) and found["empty"].shape == (0, 3)
    with zipfile.ZipFile(tmp_path / "file") as archive:
        checksums = [info.CRC.to_bytes(4, "little") for info in archive.infolist()]
    for checksum in checksums:
        wrong = bytes(content).replace(checksum, b"\x01\x02\x03\x04")
        (tmp_path / "wrong").write_bytes(wrong)
        with pytest.raises(ValueError, match="Bad CRC-32"):
            read_archive(tmp_path / "wrong", "test")


def test_archives_in_other_ways_and_orders(tmp_path):
    SURFACE.save(tmp_path / "good.npz")
    good = crafted.content_of(tmp_path / "good.npz")
    plain = crafted.write(tmp_path / "plain.npz", good, zipfile.ZIP_STORED)
    assert Surface.load(plain) == SURFACE
    for packing in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        check_refused(crafted.write(tmp_path / "other.npz", good, packing), SURFACE)
    turned = {**good, "directions": crafted.member(np.asfortranarray([[1.0, 2.0]]))}
    assert Surface.load(crafted.write(tmp_path / "turned.npz", turned)) == SURFACE


def test_the_memory_of_arrays_is_counted():
    tracemalloc.start()
    held = np.ones(10_000_000)
    assert tracemalloc.get_traced_memory()[0] > 70e6
    tracemalloc.stop()
    assert held.size


# The constructors


WRONG = {
    "texts": lambda a: np.asarray(a).astype(str),
    "complex numbers": lambda a: np.asarray(a) + 1j,
    "dates": lambda a: np.zeros(np.shape(a), "datetime64[s]"),
    "durations": lambda a: np.zeros(np.shape(a), "timedelta64[s]"),
    "booleans": lambda a: np.asarray(a).astype(bool),
    "objects": lambda a: np.full(np.shape(a), "1", object),
    "a list of text": lambda a: np.asarray(a).astype(str).tolist(),
    "nothing": lambda a: [None, {}],
    "lists of two lengths": lambda a: [[1.0], [1.0, 2.0]],
    "10^400": lambda a: [10**400, 1],
}
ARRAYS = {
    "Surface": ("losses", "directions", "origin", "coordinates"),
    "Trajectory": ("weights", "losses", "steps", "statistics", "no_steps"),
    "BasinMap": ("indices", "losses", "ends", "distances", "coordinates", "learning_rates"),
    "Directions": ("vectors",),
}


@pytest.mark.parametrize(
    "name, field", [(name, field) for name, fields in ARRAYS.items() for field in fields]
)
def test_constructors_take_real_numbers_only(name, field):
    good = {**RESULTS, "Directions": kv.directions.Directions([[1.0, 2.0]], ["a"])}[name]
    fields = {key: getattr(good, key) for key in good._compared()}
    value = fields[field]
    for wrong in WRONG.values():
        given = [wrong(axis) for axis in value] if field == "coordinates" else wrong(value)
        with pytest.raises(ValueError, match=r" expects .*Received: .*\."):
            type(good)(**{**fields, field: given})


def test_constructors_take_numbers_in_all_forms():
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    fields = {name: getattr(SURFACE, name) for name in SURFACE._compared()}
    for losses in ([1, 2, 3, 4, 5, 6, 7], np.arange(7, dtype="float16"), [2**70] * 7):
        assert (
            Surface(**{**fields, "losses": losses}).losses.tolist() == np.asarray(losses).tolist()
        )
    assert Surface(**{**fields, "losses": np.ones(7, bfloat16)}).losses.dtype == "float32"


def test_steps_and_indices_are_whole_and_stay_what_they_are():
    for steps in ([0, 2**63], np.array([0, 2**64 - 1], "uint64"), [0.0, 1.5], [0, np.nan]):
        with pytest.raises(ValueError, match="`steps` to be integers below 2"):
            Trajectory(steps, np.zeros((2, 1)), [0.0, 0.0])
    for steps in (5, [[0, 1]], np.int64(3)):
        with pytest.raises(ValueError, match="`Trajectory` expects `steps`"):
            Trajectory(steps, np.zeros((2, 1)), [0.0, 0.0])
    fields = {name: getattr(MAP, name) for name in MAP._compared()}
    for indices in (np.full((1, 1, 3), 0.5), np.full((1, 1, 3), 2**63, "uint64")):
        with pytest.raises(ValueError, match="`indices` to be integers below 2"):
            BasinMap(**{**fields, "indices": indices})
    for steps in (-1, 1.5, 2**63, "ten", None):
        with pytest.raises(ValueError, match="`steps` to be an integer"):
            BasinMap(**{**fields, "steps": steps})


def test_details_are_no_deeper_than_can_be_walked_through():
    fields = {name: getattr(SURFACE, name) for name in SURFACE._compared()}
    for levels in (70, 900, 100_000):
        deep = 1
        for _ in range(levels):
            deep = {"a": deep}
        with pytest.raises(ValueError, match="`details` to be a dictionary of what JSON can hold"):
            Surface(**{**fields, "details": deep})
    deep = {"a": 1}
    for _ in range(50):
        deep = {"a": deep}
    assert Surface(**{**fields, "details": deep}).details == deep


def test_many_weights_are_not_packed_for_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(_files, "MOST_PACKED", 10_000)
    sizes = []
    for weights in (np.random.default_rng(0).normal(size=(2, 5000)), np.ones((2, 5000))):
        surface = Surface(np.zeros((2, 2)), [[0.0, 1.0]] * 2, weights, weights[0])
        surface.save(tmp_path / "file.npz")
        sizes.append(os.path.getsize(tmp_path / "file.npz"))
        assert Surface.load(tmp_path / "file.npz") == surface
    assert sizes[0] > 3 * weights[0].nbytes > 10 * sizes[1]
