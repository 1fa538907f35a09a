"""A run on the plane of its own path: one line, no surface before, any model."""

import contextlib
import copy
import pickle
import random

import keras
import numpy as np
import pytest
from keras import layers

import keras_valleys as kv
from helpers.boards import image_steps, read, report, shown
from helpers.fits import Stop
from helpers.readers import READERS
from helpers.tab import open_tab
from keras_valleys.callbacks import SurfaceBoard

ALL_LIVE = 1e9  # a budget with which there is time for each moment
ROWS = 48


def data(rows=ROWS, columns=4, seed=0):
    x = np.random.default_rng(seed).normal(size=(rows, columns)).astype("float32")
    return x, np.sin(x[:, :1]) + 0.1 * x[:, 1:2]


def network(optimizer="adam", columns=4):
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((columns,)),
            layers.Dense(6),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Dropout(0.2),
            layers.Dense(1),
        ]
    )
    model.compile(optimizer, "mean_squared_error")
    return model


def bowl(rate=0.1):
    """Loss (a^2 + 9 b^2 + 25 c^2) / 3 over three weights, by plain SGD."""
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1, use_bias=False)])
    model.compile(keras.optimizers.SGD(rate), "mean_squared_error")
    model.set_weights([np.array([[2.0], [1.0], [0.3]])])
    return model, np.diag([1.0, 3.0, 5.0]).astype("float32"), np.zeros((3, 1), "float32")


class Moments(keras.callbacks.Callback):
    """Keeps the surface of a board after each step."""

    def __init__(self, board):
        super().__init__()
        self.board, self.surfaces = board, []

    def on_train_batch_end(self, batch, logs=None):
        surface = self.board.surface
        if surface is not None and not any(surface is one for one in self.surfaces):
            self.surfaces.append(surface)


def run(model, x, y, board, epochs=6, size=16, **options):
    options = {"verbose": 0, "batch_size": size, "epochs": epochs, "callbacks": [board], **options}
    return model.fit(x, y, **options)


def test_one_line_shows_any_model_on_the_plane_of_its_path(tmp_path):
    x, y = data()
    board = SurfaceBoard(tmp_path / "run", data=(x, y), validation=data(seed=1), budget=ALL_LIVE)
    model = network()
    run(model, x, y, board)
    found, path, surface = shown(board), board.trajectory, board.surface
    assert surface.losses.shape == (51, 41) and len(path) == 19
    beside = kv.trajectories.on_surface(path, surface)
    assert beside.distances[-1] < 1e-5  # the present weights are on it
    np.testing.assert_allclose(beside.coordinates[0], 0, atol=1e-5)  # and a path begins at 0
    for axis, column in zip(surface.coordinates, beside.coordinates.T, strict=True):
        assert axis[0] < column.min() and column.max() < axis[-1]
    sides = [axis[-1] - axis[0] for axis in surface.coordinates]
    assert min(sides) > 0.59 * max(sides)
    steps = image_steps(found)
    assert len(steps) == 9 and steps[-1] == 18 and np.ptp(np.diff(steps)) <= 1
    assert found["images"]["valley/path"][0][0] == 18
    scalars = {tag: dict(points) for tag, points in found["scalars"].items()}
    assert list(scalars["valley/train_loss"]) == steps
    for step, gap in scalars["valley/gap"].items():
        losses = [scalars[f"valley/{name}_loss"][step] for name in ("validation", "train")]
        assert gap == pytest.approx(losses[0] - losses[1], abs=1e-6)
    assert len(scalars["valley/loss"]) == 18
    objective = kv.objectives.Objective(model, x, y, statistics="batch")
    assert scalars["valley/train_loss"][18] == pytest.approx(objective(objective.point()), rel=1e-5)
    words, step = report(found)
    assert step == 18 and words["the surface is the loss of"] == (
        f"all {ROWS} rows, statistics of batches of {ROWS} rows"
    )
    held = words["train loss with the model's own statistics"]
    assert float(held) == pytest.approx(model.evaluate(x, y, verbose=0), rel=1e-5)


def test_the_surface_is_the_loss_at_its_points(tmp_path):
    model, x, y = bowl()
    board = SurfaceBoard(tmp_path / "run", data=(x, y), budget=ALL_LIVE)
    moments = Moments(board)
    run(model, x, y, board, epochs=20, size=3, callbacks=[board, moments])
    for surface in [*moments.surfaces, board.surface]:
        grid = np.stack(np.meshgrid(*surface.coordinates, indexing="ij"), axis=-1)
        weights = surface.origin + grid @ surface.directions
        expected = np.square(weights * [1, 3, 5]).sum(axis=-1) / 3
        np.testing.assert_allclose(surface.losses, expected, rtol=1e-4, atol=1e-6)
    assert len(moments.surfaces) == 8


def principal_plane(weights):
    rows = weights - weights.mean(axis=0)
    return np.linalg.svd(rows, full_matrices=False)[2][:2]


def test_moments_are_the_principal_planes_of_the_path_so_far_seen_from_one_side(tmp_path):
    model, x, y = bowl()
    board = SurfaceBoard(tmp_path / "run", data=(x, y), budget=ALL_LIVE)
    moments = Moments(board)
    run(model, x, y, board, epochs=20, size=3, callbacks=[board, moments])
    weights = board.trajectory.weights.astype("float64")
    steps = [step for step, _ in read("python", board.log_dir)["scalars"]["valley/train_loss"]]
    surfaces = [*moments.surfaces, board.surface]
    for step, surface in zip(steps, surfaces, strict=True):
        plane, last = principal_plane(weights[: step + 1]), weights[step]
        expected = plane.T @ plane
        np.testing.assert_allclose(surface.directions.T @ surface.directions, expected, atol=1e-5)
        across = (last - surface.origin) - (last - surface.origin) @ expected
        assert np.linalg.norm(across) < 1e-6
        foot = (weights[0] - surface.origin) @ surface.directions.T
        np.testing.assert_allclose(foot, 0, atol=1e-6)
    for before, after in zip(surfaces, surfaces[1:], strict=False):
        turn = before.directions @ after.directions.T
        np.testing.assert_allclose(turn, turn.T, atol=1e-6)  # the nearest of all turns
        assert np.all(np.linalg.eigvalsh(turn) > -1e-9)


@pytest.mark.parametrize("budget", [1e-9, ALL_LIVE])
def test_a_fit_is_the_same_with_and_without(tmp_path, budget):
    x, y = data()
    found = []
    for callbacks in ([], [SurfaceBoard(tmp_path / "run", data=(x, y), budget=budget)]):
        np.random.seed(3)  # noqa: NPY002
        random.seed(3)
        model = network()
        history = run(model, x, y, None, callbacks=callbacks, validation_data=data(seed=2))
        numbers = np.random.random(), random.random()  # noqa: NPY002
        found.append((history.history, [*model.get_weights()], numbers))
        state = [np.asarray(v.value) for v in model.optimizer.variables]
        found[-1] += (state,)
    bare, shown_one = found
    assert bare[0] == shown_one[0] and bare[2] == shown_one[2]
    for ours, theirs in zip(bare[1] + bare[3], shown_one[1] + shown_one[3], strict=True):
        assert np.array_equal(ours, theirs)


def test_without_time_there_is_the_final_plane_and_the_fit_is_not_held_up(tmp_path):
    x, y = data()
    board = SurfaceBoard(tmp_path / "run", data=(x, y), budget=1e-9)
    moments = Moments(board)
    run(network(), x, y, board, callbacks=[board, moments])
    assert moments.surfaces == [] and board.surface is not None
    assert image_steps(read("python", board.log_dir))[-1] == 18


@pytest.mark.parametrize("kind", READERS)
def test_the_tab_has_each_moment(tmp_path, kind):
    x, y = data()
    board = SurfaceBoard(tmp_path / "run", data=(x, y), budget=ALL_LIVE, images=4)
    run(network(), x, y, board)
    with open_tab(kind, tmp_path) as tab:
        listed = tab.runs()["run"]
        moments = listed["moments"]
        assert [one["number"] for one in moments] == [0, 1, 2]
        assert [one["step"] for one in moments] == [6, 12, 18] and listed["last_step"] == 18
        for one in moments:
            info = tab.get(f"/surface?run=run&moment={one['number']}").get_json()
            header, columns = tab.moment("run", one["number"])
            assert header["coordinates"] == info["labels"] == list(board.surface.labels)
            following = [other["step"] for other in moments if other["step"] > one["step"]]
            number = len(columns["step"])  # with those before the next moment
            assert columns["step"].tolist() == list(range(number))
            assert min(following, default=19) - 1 <= number - 1 <= min(following, default=19)
            here = [columns[name][one["step"]] for name in ("distance", *info["labels"])]
            assert here[0] < 1e-4
            for value, axis in zip(here[1:], info["coordinates"], strict=True):
                assert axis[0] < value < axis[-1]
        final = tab.surface("run")
        np.testing.assert_allclose(final["losses"], board.surface.losses, rtol=1e-6)
        assert tab.path("run")[1]["step"].tolist() == list(range(19))
        tab.get("/surface?run=run&moment=7", status=404)


def test_two_weights_are_the_axes_themselves(tmp_path):
    x, y = data(columns=1)
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1)])
    model.compile("sgd", "mean_squared_error")
    board = SurfaceBoard(tmp_path / "run", data=(x[:, :1], x[:, :1]), budget=ALL_LIVE)
    run(model, x[:, :1], x[:, :1], board)
    assert board.surface.labels == ("kernel", "bias")
    np.testing.assert_array_equal(board.surface.directions, np.eye(2))
    np.testing.assert_array_equal(board.surface.origin, 0)


def test_an_angle_is_shown_over_its_whole_period(tmp_path):
    (x, y), _ = kv.datasets.rosette(num_points=14)
    model = keras.Sequential([keras.Input((1,)), kv.layers.AngleFit()])
    model.compile(keras.optimizers.SGD(0.05), kv.losses.RootError())
    board = SurfaceBoard(tmp_path / "run", data=(x, y), budget=ALL_LIVE)
    run(model, x, y, board, size=len(x), epochs=9)
    assert board.surface.losses.shape == (301,) and board.surface.units == ("rad",)
    assert np.ptp(board.surface.coordinates[0]) == pytest.approx(np.pi)
    assert len(shown(board)["scalars"]["valley/phi"]) == 10


def as_dataset(x, y, size=16):
    if keras.config.backend() == "torch":
        import torch

        tensors = torch.utils.data.TensorDataset(torch.as_tensor(x), torch.as_tensor(y))
        return torch.utils.data.DataLoader(tensors, batch_size=size)

    class Batches(keras.utils.PyDataset):
        num_batches = -(-len(x) // size)

        def __len__(self):
            return self.num_batches

        def __getitem__(self, k):
            return x[k * size : (k + 1) * size], y[k * size : (k + 1) * size]

    return Batches()


@pytest.mark.parametrize("kind", ["weights", "list", "data set", "objective"])
def test_data_are_taken_as_an_objective_takes_them(tmp_path, kind):
    x, y = data()
    model = network()
    given = {
        "weights": (x, y, np.arange(ROWS)),
        "list": [x, y],
        "data set": as_dataset(x, y),
        "objective": kv.objectives.Objective(model, x, y, statistics="reestimated"),
    }[kind]
    board = SurfaceBoard(tmp_path / "run", data=given, budget=ALL_LIVE)  # else few rows, if slow
    run(model, x, y, board, epochs=2)
    twin = {
        "list": lambda: kv.objectives.Objective(model, x, y, statistics="batch"),
        "weights": lambda: kv.objectives.Objective(model, *given, statistics="batch"),
        "data set": lambda: kv.objectives.Objective(model, x, y, batch_size=16, statistics="batch"),
        "objective": lambda: given,
    }[kind]()
    corner = [axis[0] for axis in board.surface.coordinates] @ board.surface.directions
    expected = float(twin(board.surface.origin + corner))
    assert board.surface.losses[0, 0] == pytest.approx(expected, rel=1e-4)


def test_few_rows_of_many_are_spread_over_all(tmp_path):
    x, y = data(rows=2000)
    rows = kv.objectives.SomeRows("SurfaceBoard", (x, y))
    few = rows.objective(network(), 5, "batch")
    expected = kv.objectives.Objective(few.model, x[::500][:4], y[::500][:4], statistics="batch")
    assert few.num_rows == 5 and rows.num_rows == 2000
    places = np.linspace(0, 1999, 5).round().astype(int)
    expected = kv.objectives.Objective(few.model, x[places], y[places], statistics="batch")
    assert few.fingerprint == expected.fingerprint


def test_reading_a_data_set_draws_no_random_numbers(tmp_path):
    x, y = data()
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)
    before = np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    with contextlib.ExitStack() as stack:
        state = None
        if keras.config.backend() == "torch":
            import torch

            state = torch.random.get_rng_state()
            stack.callback(torch.random.set_rng_state, state)
        SurfaceBoard(tmp_path / "run", data=as_dataset(x, y))
        if state is not None:
            assert torch.equal(state, torch.random.get_rng_state())
    assert (np.random.get_state()[1].tolist(), random.getstate()) == before  # noqa: NPY002


def test_a_run_that_diverges_is_shown_up_to_there(tmp_path):
    model, x, y = bowl(rate=3.0)
    board = SurfaceBoard(tmp_path / "run", data=(x, y), budget=ALL_LIVE)
    run(model, x, y, board, epochs=80, size=3)
    assert not np.all(np.isfinite(board.trajectory.weights[-1]))
    assert np.isfinite(board.surface.losses).any()
    extent = max(np.ptp(axis) for axis in board.surface.coordinates)
    assert extent < 1e3  # not that of where it has blown up
    with open_tab("python", tmp_path) as tab:
        assert tab.path("run")[0]["last_step"] == 80


@pytest.mark.parametrize("how", [KeyboardInterrupt, RuntimeError("no more")])
@pytest.mark.parametrize("budget", [1e-9, ALL_LIVE])
def test_of_an_interrupted_fit_what_was_seen_is_in_the_tab(tmp_path, how, budget):
    x, y = data()
    board = SurfaceBoard(tmp_path / "run", data=(x, y), budget=budget)
    with pytest.raises((KeyboardInterrupt, RuntimeError)):
        run(network("sgd"), x, y, board, callbacks=[board, Stop(7, how)])
    log_dir = board.log_dir
    copies = copy.deepcopy(board), pickle.loads(pickle.dumps(board))
    assert all(one.log_dir == log_dir for one in copies)
    board.__del__()
    words, _ = report(read("python", log_dir))
    assert words["ended"] == "early, by an exception"
    with open_tab("python", tmp_path) as tab:
        assert tab.runs()["run"]["moments"]
        assert tab.path("run")[0]["last_step"] >= 6


def test_a_run_that_does_not_move_has_a_plane(tmp_path):
    x, y = data()
    board = SurfaceBoard(tmp_path / "run", data=(x, y), budget=ALL_LIVE)
    run(network(keras.optimizers.SGD(0.0)), x, y, board)
    assert np.isfinite(board.surface.losses).all()
    gram = board.surface.directions @ board.surface.directions.T
    np.testing.assert_allclose(gram, np.eye(2), atol=1e-9)


def test_a_second_fit_goes_on_with_the_path(tmp_path):
    x, y = data()
    board = SurfaceBoard(tmp_path / "run", data=(x, y), images=3)
    model = network()
    for epochs in (2, 3):
        run(model, x, y, board, epochs=epochs)
    assert board.trajectory.steps.tolist() == list(range(16))
    with open_tab("python", tmp_path) as tab:
        assert {name: run["last_step"] for name, run in tab.runs().items()} == {
            "run": 6,
            "run-2": 15,
        }


def test_memory_is_bounded(tmp_path):
    x, y = data()
    model = network()
    bytes_of_a_row = 4 * model.count_params()
    board = SurfaceBoard(tmp_path / "run", data=(x, y), memory=20 * bytes_of_a_row)
    run(model, x, y, board, epochs=30)
    steps = board.trajectory.steps
    # Those of moments for which there was no time are there as well.
    assert len(steps) <= 20 + 8 and steps[0] == 0 and steps[-1] == 90
    assert np.count_nonzero(steps % 9 == 0) == 11 and board.trajectory.weights.dtype == "float32"


@pytest.mark.parametrize(
    "options, words",
    [
        ({"data": (np.ones((3, 4)), np.ones((2, 1)))}, "of one length"),
        ({"data": ()}, r"data=\(x, y\)"),
        ({"validation": data()}, "`data` where `validation` is given"),
        ({"data": data(), "budget": 0}, "`budget` to be a number > 0"),
        ({"data": data(), "memory": -1}, "`memory` to be a number of bytes > 0"),
        ({"data": data(), "persistence": -1.0}, "persistence"),
    ],
)
def test_what_is_impossible_is_refused_at_once(tmp_path, options, words):
    with pytest.raises(ValueError, match=words):
        SurfaceBoard(tmp_path / "run", **options)


def test_data_that_the_model_cannot_take_are_refused_before_the_first_step(tmp_path):
    x, y = data()
    for given in ((x[:, :2], y), kv.objectives.Objective(network(), x, y)):
        with pytest.raises(Exception, match=r"SurfaceBoard|shape|incompatible"):  # Keras' own too
            run(network(), x, y, SurfaceBoard(tmp_path / "run", data=given))
    assert not (tmp_path / "run").exists()


def test_a_surface_and_data_are_one_too_many(tmp_path):
    x, y = data()
    board = SurfaceBoard(tmp_path / "run", data=(x, y))
    run(network(), x, y, board, epochs=1)
    with pytest.raises(ValueError, match="Leave out one"):
        SurfaceBoard(tmp_path / "other", board.surface, data=(x, y))
    with pytest.raises(AttributeError, match="TrajectoryRecorder"):
        SurfaceBoard(tmp_path / "other").trajectory  # noqa: B018


def test_of_a_run_that_blew_up_the_losses_are_its_own_and_the_report_says_until_when(tmp_path):
    model, x, y = bowl(rate=3.0)
    board = SurfaceBoard(tmp_path / "run", data=(x, y), budget=ALL_LIVE)
    run(model, x, y, board, epochs=80, size=3)
    found = read("python", board.log_dir)
    assert not np.isfinite(found["scalars"]["valley/train_loss"][-1][1])
    words, _ = report(found)
    assert words["the axes are of the path up to"].endswith("it blew up")
    assert 0 < int(words["the axes are of the path up to"].split()[1].strip(":")) < 80


def test_what_fails_in_a_moment_ends_no_fit(tmp_path, monkeypatch):
    def fails(objective):
        raise MemoryError("too large")

    monkeypatch.setattr("keras_valleys.callbacks.own_planes.seconds_per_point", fails)
    x, y = data()
    board = SurfaceBoard(tmp_path / "run", data=(x, y), budget=ALL_LIVE)
    with pytest.warns(RuntimeWarning, match="cannot show the plane of the path .*too large"):
        history = run(network(), x, y, board)
    assert len(history.history["loss"]) == 6
    assert len(read("python", board.log_dir)["scalars"]["valley/loss"]) == 18
