"""Map from which starts Keras optimizers find which valley of the rosette."""

import argparse
import pathlib

from fit_angle import Parser, number

FIVE = "sgd,momentum,adam,lion,rmsprop"


def parse():
    parser = Parser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add = parser.add_argument
    add("--by", choices=("start", "learning-rate"), default="start", help="learning-rate: 2-D map")
    add("--optimizers", help=f"names of keras.optimizers, or momentum; by start {FIVE}")
    add("--learning-rate", type=number, default=0.05, help="of all, with --by start")
    add(
        "--rates", type=number, nargs=2, default=(0.001, 1.0), metavar=("LOW", "HIGH"), help="range"
    )
    add("--num-rates", type=int, default=120, help="learning rates in that range")
    add("--starts", type=int, default=1000, help="angles to start from, over half a turn")
    add("--steps", type=int, default=200, help="number of updates")
    add("--root", type=number, default=4.0, help="1: squared error, 2: absolute error")
    add("--num-lines", type=int, default=5, help="lines in the rosette")
    add("--noise", type=number, default=0.0, help="standard deviation of the noise on y")
    add("--log-dir", type=pathlib.Path, default="logs", help="the maps are in a new folder in it")
    options = parser.parse_args()
    if not options.optimizers:
        by_start = options.by == "start"
        options.optimizers = FIVE if by_start else "sgd"
    for name in ("starts", "num_rates", "steps"):
        if getattr(options, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1")
    low, high = options.rates
    if not 0 < low < high or options.learning_rate <= 0:
        parser.error("--learning-rate must be greater than 0, and --rates two rising ones")
    return parser, options


def main():
    parser, options = parse()  # before Keras is imported: what is wrong is told at once
    import basin_run

    try:
        folder, lines = basin_run.run(options)
    except (MemoryError, OSError, ValueError) as error:
        parser.error(error)
    print(*lines, f"Maps and pictures: {folder}", sep="\n")


if __name__ == "__main__":
    main()
