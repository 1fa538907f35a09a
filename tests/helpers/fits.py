"""Short fits of few rows, and how they may end."""

import keras

import keras_valleys as kv

ROWS = 70  # 70 rows in batches of 16: four full ones and one of 6


def some_data():
    (x, y), _ = kv.datasets.rosette(num_points=7, noise=0.1, test_fraction=0)
    return x, y


def batches(x, y, size, epochs):
    starts = [*range(0, len(x), size)] * epochs
    return [(x[start : start + size], y[start : start + size]) for start in starts]


def fit(model, *callbacks, x=None, **options):
    x, y = some_data() if x is None else (x, None)
    options = {"batch_size": 16, "epochs": 2, "shuffle": False, "verbose": 0, **options}
    return model.fit(x, y, callbacks=list(callbacks), **options)


class Stop(keras.callbacks.Callback):
    """Ends training in one of three ways at a step."""

    def __init__(self, at, how):
        super().__init__()
        self.at, self.how, self.seen = at, how, 0

    def on_train_batch_end(self, batch, logs=None):
        self.seen += 1
        if self.seen == self.at:
            if self.how is None:
                self.model.stop_training = True
            else:
                raise self.how
