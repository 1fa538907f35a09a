"""Let Keras optimizers walk on a known function, such as Rosenbrock's, with model.fit."""

import argparse
import pathlib
import shlex

from fit_angle import Parser, number

FUNCTIONS = ("rosenbrock", "beale", "himmelblau", "rastrigin", "saddle", "oblique_valley", "power")


def numbers(text):
    return [number(part) for part in text.split(",")]


def parse():
    parser = Parser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add = parser.add_argument
    add("function", nargs="?", default="rosenbrock", choices=FUNCTIONS, help="what to walk on")
    add(
        "--optimizers",
        default="sgd,momentum,adam",
        help="names of keras.optimizers, or momentum, which is SGD with 0.9 of it",
    )
    add("--learning-rate", type=number, help="of all; without it one that suits the function")
    add("--steps", type=int, default=200, help="number of updates")
    add("--start", type=numbers, help="weights to start from: --start=-1.5,2")
    add("--b", type=number, default=100.0, help="of rosenbrock: how steep its walls are")
    add("--condition", type=number, default=100.0, help="of oblique_valley")
    add("--angle", type=number, default=30.0, help="of oblique_valley, in degrees")
    add("--p", type=number, default=0.5, help="of power, the function |w|^p")
    add("--log-dir", type=pathlib.Path, default="logs", help="the runs are in a new folder in it")
    options = parser.parse_args()
    if options.steps < 1:
        parser.error("--steps must be at least 1")
    if options.learning_rate is not None and options.learning_rate <= 0:
        parser.error(f"--learning-rate must be greater than 0, not {options.learning_rate:g}")
    return parser, options


def main():
    parser, options = parse()  # before Keras is imported: what is wrong is told at once
    import walk_run

    try:
        folder, lines = walk_run.run(options)
    except (MemoryError, OSError, ValueError) as error:
        parser.error(error)
    print(*lines, f"Runs and pictures: {folder}", sep="\n")
    print(f"\nInspect the runs:\n\n    tensorboard --logdir {shlex.quote(str(folder))}")


if __name__ == "__main__":
    main()
