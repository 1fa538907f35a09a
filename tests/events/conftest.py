import pytest

from helpers.readers import READERS
from keras_valleys.events import EventWriter


@pytest.fixture(params=READERS)
def kind(request):
    return request.param


@pytest.fixture
def writer(tmp_path):
    with EventWriter(tmp_path / "logs" / "adam") as writer:
        yield writer
