"""Run the published optimization with model.fit, and write its pictures and TensorBoard run."""

import argparse
import json
import math
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's notes on CUDA and the CPU

import keras
import numpy as np

import keras_valleys as kv


def main(arguments=None):
    options = parse(arguments)
    train, test = options.data
    x, y = kv.datasets.repeat(*train, options.steps, options.batch_size, options.seed)
    model = build_model(kv.losses.RootError(options.root), math.radians(options.phi))
    model.compile(options.optimizer, model.loss, metrics=[kv.metrics.StepLoss(model.loss)])
