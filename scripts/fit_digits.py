"""Train a small convolutional network on real images, and draw its path on its principal plane."""

import argparse
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's notes on CUDA and the CPU

import draw_surface


def parse():
    parser = draw_surface.Parser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--optimizer", default="adam", help="any optimizer of keras.optimizers, by name")
    add("--learning-rate", type=float, default=0.003, help="greater than 0")
    add("--epochs", type=int, default=4, help="passes over the 1347 training images")
    add("--batch-size", type=int, default=64, help="images of a step")
    add("--points", default="51x41", help="of the surface")
    add("--seed", type=int, default=0, help="of the network and of the batches")
    add("--log-dir", type=pathlib.Path, default="logs", help="the run is a new folder in it")
    return parser, parser.parse_args()


def images(parser):
    """The digits that scikit-learn ships, as arrays (rows, 8, 8, 1) in [0, 1], and their labels."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        parser.error("the images come with scikit-learn: pip install '.[digits]'")
    digits = load_digits()
    return digits.images[:1347, ..., None].astype("float32") / 16, digits.target[:1347]


def network(optimizer, learning_rate):
    import keras
    from keras import layers

    import keras_valleys as kv

    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(8, 3, activation="relu"),
            layers.Conv2D(16, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(10),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, name="cross_entropy")
    optimizer = keras.optimizers.get(
        {"class_name": optimizer, "config": {"learning_rate": learning_rate}}
    )
    model.compile(optimizer, loss, metrics=["accuracy", kv.metrics.StepLoss(loss)])
    return model


def main():
    parser, options = parse()
    x, y = images(parser)
    import keras
    import numpy as np

    import keras_valleys as kv

    keras.utils.set_random_seed(options.seed)
    folder = options.log_dir / f"digits-{options.optimizer.lower()}"
    try:
        model = network(options.optimizer, options.learning_rate)
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        parser.error(error)
    recorder = kv.callbacks.TrajectoryRecorder()
    model.fit(
        x, y, batch_size=options.batch_size, epochs=options.epochs, callbacks=[recorder], verbose=2
    )
    files = [folder / name for name in ("digits.keras", "digits.npz", "trajectory.npz")]
    model.save(files[0])
    np.savez(files[1], x=x, y=y)
    recorder.trajectory.save(files[2])
    more = ["--directions", "principal", "--paths", files[2], "--points", options.points]
    draw_surface.run(*files[:2], *more, "--log-dir", folder)


if __name__ == "__main__":
    main()
