"""Train a deep narrow network on real images with and without skip connections, and compare."""

import argparse
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's notes on CUDA and the CPU

import draw_surface

KINDS = ("plain", "with skips")


def parse(arguments=None):
    parser = draw_surface.Parser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--depth", type=int, default=30, help="layers between the first and the last")
    add("--width", type=int, default=12, help="units of each")
    add("--epochs", type=int, default=30, help="passes over the 1347 training images")
    add("--rows", type=int, default=300, help="images of the surface, the first ones")
    add("--points", type=int, default=31, help="of the surface, along each axis")
    add("--directions", type=int, default=3, help="seeds of directions, from 0 on")
    add("--seed", type=int, default=0, help="of the networks and of the batches")
    add("--log-dir", type=pathlib.Path, default="logs/skips", help="for the pictures")
    return parser, parser.parse_args(arguments)


def images(parser):
    """The digits that scikit-learn ships, as rows of 64 numbers in [0, 1], and their labels."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        parser.error("the images come with scikit-learn: pip install '.[digits]'")
    digits = load_digits()
    return digits.data[:1347].astype("float32") / 16, digits.target[:1347]


def network(depth, width, skips):
    """The same layers with the same initial weights; with skips each adds to what it is given."""
    import keras
    from keras import layers

    def dense(inputs):
        return layers.Dense(width, "relu", kernel_initializer="he_normal")(inputs)

    inputs = keras.Input((64,))
    hidden = dense(inputs)
    for _ in range(depth):
        made = dense(hidden)
        # As much smaller as there are layers, or their sum would grow with each of them.
        hidden = hidden + depth**-0.5 * made if skips else made
    model = keras.Model(inputs, layers.Dense(10)(hidden))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, name="cross_entropy")
    model.compile(keras.optimizers.Adam(0.002), loss, metrics=["accuracy"])
    return model


def trained(options, x, y, skips):
    import keras

    import keras_valleys as kv

    keras.utils.set_random_seed(options.seed)
    model = network(options.depth, options.width, skips)
    model.fit(x, y, batch_size=64, epochs=options.epochs, verbose=0)
    loss, accuracy = model.evaluate(x, y, verbose=0)
    print(f"{KINDS[skips]}: loss {loss:.3f}, {100 * accuracy:.1f} % right, after training")
    return kv.objectives.Objective(model, x[: options.rows], y[: options.rows])


def surface_of(objective, seed, num_points):
    import numpy as np

    import keras_valleys as kv

    plane = kv.directions.random(objective, seed=seed)
    axis = np.linspace(-1, 1, num_points)
    return kv.surfaces.evaluate(objective, plane, coordinates=(axis, axis))


def described(surface):
    """The valleys within a surface, its lowest loss, the middle half, and the highest, as text."""
    import numpy as np

    import keras_valleys as kv

    losses = surface.losses
    quartiles = np.quantile(losses[np.isfinite(losses)], [0.25, 0.75])
    inside = sum(not valley.on_border for valley in kv.valleys.find_valleys(surface))
    numbers = [losses.min(), *quartiles, losses.max()]
    return [str(inside), *(f"{number:.3g}" for number in numbers)]


def compared(options, x, y):
    """Each seed of directions with its two surfaces, described in print."""
    objectives = [trained(options, x, y, skips) for skips in (False, True)]
    print(
        f"{'network':<12}{'seed':>5}{'valleys':>9}{'lowest':>10}{'middle half':>24}{'highest':>10}"
    )
    for seed in range(options.directions):
        pair = {}
        for name, objective in zip(KINDS, objectives, strict=True):
            pair[name] = surface = surface_of(objective, seed, options.points)
            valleys, low, begin, end, high = described(surface)
            half = f"{begin} to {end}"
            print(f"{name:<12}{seed:>5}{valleys:>9}{low:>10}{half:>24}{high:>10}")
        yield seed, pair


def main():
    parser, options = parse()
    least = min(options.depth, options.width, options.rows, options.directions, options.epochs)
    if least < 1 or options.points < 2:
        parser.error("numbers must be at least 1, and --points at least 2")
    x, y = images(parser)
    try:
        options.log_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(error)
    import keras_valleys as kv

    for seed, pair in compared(options, x, y):
        for theme, suffix in (("light", ""), ("dark", "_dark")):
            figure = kv.plots.beside(pair, theme=theme, scale="log")
            figure.savefig(options.log_dir / f"seed_{seed}{suffix}.png")
    print(f"\nPictures: {options.log_dir}")


if __name__ == "__main__":
    main()
