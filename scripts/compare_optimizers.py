"""Compare Keras optimizers on the rosette: which of them find the best valley, and how often."""

import argparse
import math
import pathlib
import re
import shlex

from fit_angle import Parser, number


def rates(text):
    """3 as the number of rates to try, 0.01,0.1 as the rates themselves."""
    return (
        int(text) if re.fullmatch(r"[1-9]\d*", text) else [float(part) for part in text.split(",")]
    )


def numbers(text):
    return [number(part) for part in text.split(",")]


def parse():
    parser = Parser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add = parser.add_argument
    add("--optimizers", default="all", help="names of keras.optimizers: sgd,adam,lion")
    add("--learning-rate", type=number, default=0.05, help="of all, greater than 0")
    add("--tune", type=rates, help="rates to try for each: 0.01,0.1; or how many round the rate: 5")
    add("--starts", type=numbers, default="45", help="angles to start from, in degrees: -60,45")
    add("--seeds", type=int, default=5, help="number of orders of the batches")
    add("--batch-size", type=int, default=64, help="rows of a step, of 670")
    add("--steps", type=int, default=100, help="number of updates of each run")
    add("--root", type=number, default=4.0, help="1: squared error, 2: absolute error")
    add("--num-lines", type=int, default=5, help="lines in the rosette")
    add("--noise", type=number, default=0.0, help="standard deviation of the noise on y")
    add("--name", default="rosette", help="the runs are in LOG_DIR/compare-NAME")
    add(
        "--log-dir", type=pathlib.Path, default="logs", help="finished runs there are not run again"
    )
    options = parser.parse_args()
    if options.learning_rate <= 0:
        parser.error(f"--learning-rate must be greater than 0, not {options.learning_rate:g}")
    if not re.fullmatch(r"[\w.+-]+", options.name):
        parser.error(f"--name must be letters, digits and any of . + - _, not {options.name!r}")
    return parser, options


def main():
    parser, options = parse()  # before Keras is imported: what is wrong is told at once
    import angle_run

    import keras_valleys as kv

    try:
        train, _ = kv.datasets.rosette(options.num_lines, noise=options.noise)
        optimizers = angle_run.optimizers(options.optimizers, options.learning_rate)
        options.phi, options.optimizer = options.starts[0], "sgd"  # of the model, replaced below
        model = angle_run.angle_model(options, options.root)
        surface = angle_run.surface_over_phi(model, *train)
        folder = options.log_dir / f"compare-{options.name}"
        comparison = kv.comparisons.compare(
            lambda: angle_run.angle_model(options, options.root),
            optimizers,
            *train,
            options.steps,
            options.batch_size,
            seeds=options.seeds,
            tune=options.tune,
            log_dir=folder,
            starts=[math.radians(start) for start in options.starts],
            surface=surface,
        )
    except (MemoryError, OSError, ValueError) as error:
        parser.error(error)
    print(f"\n{comparison.valleys}\n\n{comparison}\n\nRuns, table and pictures: {folder}")
    print(f"\nInspect the runs:\n\n    tensorboard --logdir {shlex.quote(str(folder))}")


if __name__ == "__main__":
    main()
