"""A few kills and damages of the many that `helpers.faults` makes."""

import pytest

from helpers.faults import Damages, Kills


@pytest.fixture(scope="module")
def kills(tmp_path_factory):
    return Kills(tmp_path_factory.mktemp("kills"), seed=3, steps=300, seeds=2)


@pytest.mark.parametrize("what", ["fit", "evaluate", "compare"])
def test_a_kill_loses_nothing(what, kills):
    getattr(kills, what)(0)
    told, found = [n for name, n in kills.figures.items() if "told" in name or "found" in name][-2:]
    assert found > 0 and told >= 0


def test_damaged_files_end_in_the_clear_error(tmp_path):
    damages = Damages(tmp_path, seed=5)
    damages.files(100)
    assert damages.figures["files"] == 100
    for what in ("results refused", "checkpoints refused", "runs made again", "event files"):
        assert damages.figures[what] > 5
