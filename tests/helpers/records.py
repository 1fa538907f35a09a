"""The files of an `EventWriter`: through a reader of TensorBoard, and event by event."""

import contextlib
import os

from tensorboard.compat.proto import event_pb2
from tensorboard.compat.tensorflow_stub import errors, pywrap_tensorflow

from helpers.readers import open_reader


@contextlib.contextmanager
def read(kind, writer):
    """The reader of the folder that holds the writer's run, and the name of the run."""
    folder, run = os.path.split(writer.log_dir)
    with open_reader(kind, folder) as reader:
        yield reader, run


def written(path):
    """Every event of a file, through TensorBoard's pure Python reader, which checks all CRCs."""
    reader, found = pywrap_tensorflow.PyRecordReader_New(str(path)), []
    with reader.file_handle:
        while True:
            try:
                reader.GetNext()
            except errors.OutOfRangeError:
                return found
            found.append(event_pb2.Event.FromString(reader.record()))


def scalar_steps(path):
    return [event.step for event in written(path)[1:]]
