"""What the writer knows is written once, and readers take it from the file.

When a step derails, which rows of a long path are shown, and which losses of a surface: the tab
says what `keras_valleys.valleys` says, whether chunks are full or a run is slow, and what a page
says. Version 0.1 wrote none of it.
"""

import base64
import json
import pathlib
import types

import numpy as np
import pytest

import keras_valleys as kv
from helpers.readers import READERS, open_reader
from helpers.tab import Tab, decode
from keras_valleys import _tab
from keras_valleys.trajectories import event_strides
from keras_valleys.valleys import find_valleys, shown_range
from tensorboard_plugin_valleys import metadata, old_files, payload

OLD_RUN = pathlib.Path(__file__).parent.parent / "goldens" / "version_0_1"
X = np.linspace(-1.5, 2.5, 401)


def wave(**options):
    return kv.surfaces.Surface(np.cos(2 * np.pi * X) + X**2 / 9, [X], [[1.0]], [0.0], ["x"])


def plane():
    x, y = np.linspace(-1.2, 1.9, 41), np.linspace(-2, 1, 31)
    losses = np.add.outer((x**2 - 1) ** 2, np.exp(2 * y**2))
    return kv.surfaces.Surface(losses, [x, y], np.eye(2), np.zeros(2), ["u", "v"])


def walk(surface, size, seed=3, loose=0.02):
    """A trajectory that wanders over a surface, leaves it, and has losses that are not known."""
    random = np.random.RandomState(seed)
    weights = np.cumsum(random.normal(0, loose, (size, surface.origin.size)), axis=0)
    weights = np.abs((weights + 3.3) % 5.8 - 2.9) - 1.1  # to and fro, from -1.1 to 1.8
    weights += random.normal(0, loose, weights.shape)
    weights[size // 5 : size // 5 + 3] += 50
    losses = 1.7 * np.quantile(surface.losses, 0.9) * np.cos(weights[:, 0])
    losses += random.normal(0, 0.1, size)
    losses[[size // 3, size // 2]] = np.nan, np.inf
    return kv.trajectories.Trajectory(2 * np.arange(size) + 7, weights, losses, "a walk")


def write(log_dir, surface, path, seconds=1e9, pause=None):
    """The path as the board writes it; `pause(number of rows, writer)` after each row."""
    record = _tab.SurfaceRecord(surface, find_valleys(surface))
    with kv.events.EventWriter(log_dir / "run") as writer, pytest.MonkeyPatch.context() as patch:
        patch.setattr(_tab, "SECONDS", seconds)
        chunks = _tab.PathChunks(writer, surface.labels, path.label, record)
        for number, (step, weights, loss) in enumerate(
            zip(path.steps.tolist(), path.weights, path.losses, strict=True), 1
        ):
            chunks.add(types.SimpleNamespace(step=step, loss=loss, vector=weights))
            if pause is not None:
                pause(number)
        chunks.flush()


def check_derailments(header, columns, found):
    """The header tells of all, in the order of the steps, and where they are among the rows."""
    assert header["num_derailments"] == len(found)
    told = {step: (left, entered) for _, step, left, entered, _ in header["derailments"]}
    assert told == {one.step: (one.before.index, one.after.index) for one in found}
    rises = {one.step: one.rise for one in found}
    for row, step, left, entered, rise in header["derailments"]:
        assert columns["valley"][row] == entered != left
        assert columns["step"][row] > step
        assert rise == (pytest.approx(rises[step], 1e-3) if np.isfinite(rises[step]) else None)


SURFACES = {"wave": wave, "plane": plane}


@pytest.fixture(scope="module", params=SURFACES)
def surface(request):
    return SURFACES[request.param]()


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("seconds, size", [(1e9, 3000), (0.0, 500)])
def test_the_tab_is_derailed_where_the_valleys_say(tmp_path, kind, surface, seconds, size):
    path = walk(surface, size, loose=0.2)
    write(tmp_path, surface, path, seconds)
    found = kv.valleys.derailments(path, surface)
    assert len(found) > 20
    with open_reader(kind, tmp_path) as reader:
        header, columns = Tab(reader.provider).path("run")
    assert header["num_rows"] == header["total_rows"] == size
    check_derailments(header, columns, found)


def heights(path, surface):
    """The losses of the surface under the rows that are on it: the slow twin."""
    found = []
    for point in kv.trajectories.project(path.weights, surface):
        axes = surface.coordinates
        if all(axis[0] <= value <= axis[-1] for value, axis in zip(point, axes, strict=True)):
            losses = surface.losses
            for value, axis in zip(point, axes, strict=True):
                losses = np.array(
                    [np.interp(value, axis, column) for column in losses.reshape(len(axis), -1).T]
                ).reshape(losses.shape[1:])
            found.append(float(losses))
    return np.array(found)


def test_the_tab_shows_the_losses_that_pictures_show(tmp_path, surface):
    path = walk(surface, 900)
    write(tmp_path, surface, path)
    with open_reader("python", tmp_path) as reader:
        tab = Tab(reader.provider)
        assert tab.surface("run")["shown"] == list(shown_range(surface))
        shown = tab.path("run")[0]["shown"]
    assert shown == list(shown_range(surface, heights(path, surface)))
    assert np.nanmax(path.losses) > shown[1]  # what was recorded changes nothing


def test_a_page_says_what_the_tab_says(tmp_path, surface):
    path = walk(surface, 20_000)
    write(tmp_path, surface, path)
    kv.pages.write_html(tmp_path / "page.html", surface, path)
    text = (tmp_path / "page.html").read_text("utf-8")
    data = json.loads(text.split('id="valleys-data">')[1].split("</script>")[0])
    header, columns = decode(base64.b64decode(data["paths"]["a walk"]))
    with open_reader("python", tmp_path) as reader:
        tab = Tab(reader.provider)
        same_header, same_columns = tab.path("run")
        surface_shown = tab.surface("run")["shown"]
    assert data["surface"]["shown"] == surface_shown
    # Of a derailment between two chunks the first row may be left out by the tab.
    pairs = [(row, step) for row, step, *_ in header["derailments"]]
    same_pairs = [(row, step) for row, step, *_ in same_header["derailments"]]
    assert [step for _, step in pairs] == [step for _, step in same_pairs]
    assert len(set(columns["step"]) ^ set(same_columns["step"])) <= 20_000 / metadata.CHUNK_ROWS
    for key in ("label", "coordinates", "total_rows", "last_step", "num_derailments", "shown"):
        assert header[key] == same_header[key]


def test_derailments_come_with_the_chunk_in_which_they_happen(tmp_path):
    surface = wave()
    path = walk(surface, 40, loose=0.2)
    found = kv.valleys.derailments(path, surface)
    assert len(found) > 5
    seen = []

    def look(number):
        reader.reload()
        header, columns = Tab(reader.provider).path("run")
        assert header["total_rows"] == number
        so_far = path.steps[:number]
        part = kv.trajectories.Trajectory(so_far, path.weights[:number], path.losses[:number])
        check_derailments(header, columns, kv.valleys.derailments(part, surface))
        assert header["shown"] == list(shown_range(surface, heights(part, surface)))
        seen.append(header["num_derailments"])

    with open_reader("python", tmp_path) as reader:
        write(tmp_path, surface, path, seconds=0.0, pause=look)
    assert seen[0] == 0 and seen[-1] == len(found) and np.all(np.diff(seen) >= 0)


def test_the_range_is_written_where_it_changes(tmp_path, monkeypatch):
    pole = 0.05 / (2.501 - X) + np.cos(2 * np.pi * X)
    surface, written = kv.surfaces.Surface(pole, [X], [[1.0]], [0.0], ["x"]), []
    monkeypatch.setattr(_tab, "SECONDS", 0.0)
    with kv.events.EventWriter(tmp_path / "run") as writer:
        tensor = writer.tensor
        monkeypatch.setattr(
            writer, "tensor", lambda *given: (written.append(given), tensor(*given))
        )
        record = _tab.SurfaceRecord(surface, find_valleys(surface))
        chunks = _tab.PathChunks(writer, ["x"], "x", record)
        for step, (loss, x) in enumerate([(9, 0.6), (np.nan, 0.5), (1, 2.49), (2, 0.6), (3, 9)]):
            chunks.add(types.SimpleNamespace(step=step, loss=loss, vector=np.array([x])))
    steps = [step for tag, _, step, *_ in written if tag == metadata.SHOWN_TAG]
    assert steps == [0, 2]


def written_rows(surface, path):
    """The rows of a path as they are written, all at once."""
    beside = kv.trajectories.on_surface(path, surface)
    found = find_valleys(surface)
    return _tab.path_rows(path.steps, path.losses, beside.coordinates, beside.distances, found)[0]


def test_a_long_path_keeps_its_extremes_and_derailments():
    surface = wave()
    path = walk(surface, 100_000, loose=0.003)
    losses = path.losses.copy()
    losses[[70_001, 33_333]] = 50, -50
    losses[1000:1003] = np.nan
    path = kv.trajectories.Trajectory(np.arange(100_000), path.weights, losses)
    header, columns = decode(payload.path_payload(written_rows(surface, path), ["x"]))
    kept = columns["step"].astype(int)
    assert header["total_rows"] == 100_000 and 1000 < len(kept) <= 1.5 * payload.MAX_ROWS
    assert {0, 99_999, 70_001, 33_333, 999, 1000, 1002, 1003} <= set(kept)
    found = kv.valleys.derailments(path, surface)
    check_derailments(header, columns, found)
    assert {one.step for one in found} <= set(kept) and len(found) > 50
    # The slow twin: of no stretch of 243 rows is the picture lower or higher than the path.
    for start in range(0, 100_000, 243):
        inside = (kept >= start) & (kept < start + 243)
        for values, shown in ((path.losses, columns["loss"]), (path.weights[:, 0], columns["x"])):
            stretch, there = values[start : start + 243], shown[inside]
            stretch, there = stretch[np.isfinite(stretch)], there[np.isfinite(there)]
            assert there.min() <= stretch.min() + 1e-6 and there.max() >= stretch.max() - 1e-6


@pytest.mark.parametrize("size", [900, 9000])
def test_as_many_rows_are_sent_for_charts_as_there_is_room_for(size):
    path = walk(wave(), size, loose=0.3)  # derailed every few steps
    rows = written_rows(wave(), path)
    header, columns = decode(payload.path_payload(rows, ["x"]))  # without a surface: for charts
    assert header["num_derailments"] > size / 5
    # The rows of a stride and those of an event stride, each the least at which they fit.
    expected = {0, size - 1}
    for name, room in (("stride", payload.MAX_ROWS), ("event_stride", payload.MAX_ROWS // 2)):
        values = rows[:, metadata.COLUMNS.index(name)]
        stride = 1
        while np.sum(values >= stride) > room:
            stride *= 3
        expected |= set(np.flatnonzero(values >= stride))
    assert set(((columns["step"] - 7) / 2).astype(int)) == expected
    assert set(columns["level"]) == {payload.CHARTS_ONLY}


def test_a_path_that_is_derailed_at_each_step_is_thinned():
    weights = np.where(np.arange(50_000) % 2, 0.45, -0.55)[:, None]
    path = kv.trajectories.Trajectory(np.arange(50_000), weights, np.ones(50_000))
    header, columns = decode(payload.path_payload(written_rows(wave(), path), ["x"]))
    assert header["num_derailments"] == 49_999 and len(columns["step"]) < 1.5 * payload.MAX_ROWS
    assert 1000 < len(header["derailments"]) < len(columns["step"])
    assert np.diff([step for _, step, *_ in header["derailments"]]).max() < 200  # all along it
    assert set(columns["x"]) == set(np.float32([0.45, -0.55]))


# Version 0.1


@pytest.fixture(params=READERS)
def old_tab(request):
    with open_reader(request.param, OLD_RUN) as reader:
        yield Tab(reader.provider)


def surface_of(shown):
    """The surface that a tab shows."""
    losses = np.array(shown["losses"], "float32")
    return kv.surfaces.Surface(losses, shown["coordinates"], [[1.0]], [0.0], shown["labels"])


def test_a_run_of_version_0_1_says_what_one_of_today_says(old_tab):
    surface = surface_of(old_tab.surface("run"))
    header, columns = old_tab.path("run")
    weights = columns["phi"][:, None].astype("float32")
    path = kv.trajectories.Trajectory(columns["step"].astype(int), weights, columns["loss"])
    valleys = find_valleys(surface, periodic=np.pi)
    found = kv.valleys.derailments(path, valleys)
    assert [one.step for one in found] == [1]
    check_derailments(header, columns, found)
    assert old_tab.surface("run")["shown"] == list(shown_range(valleys))
    assert header["shown"] == pytest.approx(shown_range(valleys, heights(path, surface)))


def test_runs_of_version_0_1_and_of_today_are_on_one_surface(old_tab):
    old = old_tab.surface("run")
    losses = np.array(old["losses"], "float32")
    surface = kv.surfaces.Surface(
        losses, old["coordinates"], [[1.0]], [0.0], ["phi"], loss_name=old["loss_name"]
    )
    record = _tab.SurfaceRecord(surface, find_valleys(surface, periodic=np.pi))
    assert record.digest.decode() == old_tab.runs()["run"]["surface"]


@pytest.mark.parametrize("seed", range(4))
def test_what_an_old_file_lacks_is_worked_out_as_it_is_written(seed, surface):
    path = walk(surface, 300, seed)
    rows = written_rows(surface, path)
    width = old_files.NUM_COLUMNS
    old_rows = np.delete(rows, range(width, len(metadata.COLUMNS)), axis=1)
    found = old_files.completed_rows(old_rows)
    assert found.shape == rows.shape
    for name in ("step", "loss", "distance", "valley", "left", "left_at"):
        column = metadata.COLUMNS.index(name)
        np.testing.assert_array_equal(found[:, column], rows[:, column])
    np.testing.assert_array_equal(found[:, len(metadata.COLUMNS) :], path.weights)
    valleys = find_valleys(surface)
    before_and_after = kv.valleys.crossed_rows(valleys.at(path.weights))
    column = found[:, metadata.COLUMNS.index("event_stride")]
    np.testing.assert_array_equal(column, event_strides(before_and_after, 300))
    info = json.loads(json.dumps(_tab.surface_info(surface, valleys)))
    shown = old_files.shown_range(surface.losses, info["valleys"])
    assert shown == pytest.approx(shown_range(valleys))
    shown = old_files.shown_with(surface.losses, info, old_rows)
    assert shown == pytest.approx(shown_range(valleys, heights(path, surface)))


@pytest.mark.parametrize(
    "losses",
    [np.full(9, np.nan), np.full(9, -3.0), 0.05 / (1.01 - np.linspace(-1, 1, 801) ** 2), [1, 9.0]],
)
def test_odd_surfaces_of_old_files(losses):
    losses = np.asarray(losses, "float64")
    surface = kv.surfaces.Surface(losses, [np.arange(len(losses))], [[1.0]], [0.0])
    info = _tab.surface_info(surface, find_valleys(surface))
    for heights in ([], [2.0], [-9.0, 70.0, np.nan]):
        shown = old_files.shown_range(losses, info["valleys"], np.array(heights))
        assert shown == pytest.approx(shown_range(surface, heights))


def test_nothing_of_a_new_file_is_worked_out_again(tmp_path, monkeypatch):
    surface = wave()
    write(tmp_path, surface, walk(surface, 800))

    def refuse(*arguments):
        raise AssertionError("worked out again")

    for name in ("completed_rows", "shown_range"):
        monkeypatch.setattr(old_files, name, refuse)
    with open_reader("python", tmp_path) as reader:
        tab = Tab(reader.provider)
        assert tab.path("run")[0]["total_rows"] == 800 and tab.surface("run")["shown"]
    kv.pages.write_html(tmp_path / "page.html", surface, walk(surface, 5))


@pytest.mark.parametrize("columns", [["step", "time"], "step", 3, None])
def test_a_path_of_other_columns_is_no_error_of_the_server(tmp_path, columns):
    content = json.dumps({"columns": columns, "coordinates": ["x"], "label": ""}).encode()
    with kv.events.EventWriter(tmp_path / "run") as writer:
        writer.tensor(metadata.path_tag(0), np.zeros((2, 3)), 1, metadata.PLUGIN_NAME, content)
    with open_reader("python", tmp_path) as reader:
        assert Tab(reader.provider).path("run")[0]["total_rows"] == 0
