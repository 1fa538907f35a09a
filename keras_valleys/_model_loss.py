"""The loss that `model.evaluate` reports, as a function without side effects."""

import inspect

import keras
from keras import ops

from keras_valleys._backends import num_replicas


def model_loss(model, mapping, batch):
    """The loss of a batch, with variables at other values.

    Args:
        model: A built and compiled model.
        mapping: Pairs of a variable and its value; the others keep their own.
        batch: `(x, y, sample_weight)` as tensors.
    """
    if type(model).test_step is not keras.Model.test_step:
        return _logged_loss(model, mapping, batch)
    x, y, sample_weight = batch
    takes_training = "training" in inspect.signature(model.compute_loss).parameters
    options = {"training": False} if takes_training else {}
    with keras.StatelessScope(state_mapping=mapping, collect_losses=True):
        y_pred = model(x, training=False)
        if model.loss is None and not _computes_itself(model) and not model.losses:
            raise _no_loss(model)
        loss = model.compute_loss(x, y, y_pred, sample_weight, **options)
    return ops.mean(loss) * num_replicas()  # `evaluate` averages what is not reduced


def check_model(model):
    """Refuse what has no loss as a function of its weights."""
    if not isinstance(model, keras.Model):
        raise ValueError(
            f"`Objective` expects a Keras model. Received: {type(model).__name__}. "
            "Pass the compiled `keras.Model` itself."
        )
    if not model.compiled:
        raise _no_loss(model)
    if not model.built or not model.trainable_variables:
        raise ValueError(
            "`Objective` expects a model that is built and has trainable weights. Received: "
            f"{type(model).__name__} {model.name!r} without. "
            "Call the model on a batch of data first, or make a layer trainable and compile."
        )


def loss_name_of(loss):
    """The name of what a model is compiled with."""
    name = loss if isinstance(loss, str) else getattr(loss, "name", None)
    return name or getattr(loss, "__name__", "loss")


def _logged_loss(model, mapping, batch):
    """What the model's own `test_step` logs, from reset metrics on."""
    data = keras.utils.pack_x_y_sample_weight(*batch)
    if keras.config.backend() == "jax":
        values = {id(variable): value for variable, value in mapping}
        kinds = (model.trainable_variables, model.non_trainable_variables)
        state = [[values.get(id(v), v.value) for v in variables] for variables in kinds]
        reset = [ops.zeros_like(v.value) for v in model.metrics_variables]
        logs, _ = model.test_step((*state, reset), data)
    else:
        with keras.StatelessScope(state_mapping=mapping, collect_losses=True):
            for metric in model.metrics:
                metric.reset_state()
            logs = model.test_step(data)
    if "loss" not in logs:
        raise ValueError(
            "`Objective` expects `test_step` to return the loss under the key 'loss'. Received: "
            f"{sorted(logs)} from {type(model).__name__}. Add it to what `test_step` returns."
        )
    return ops.mean(logs["loss"])


def _computes_itself(model):
    return type(model).compute_loss is not keras.Model.compute_loss


def _no_loss(model):
    return ValueError(
        "`Objective` expects a model that is compiled with a loss. Received: "
        f"{type(model).__name__} {model.name!r}, which has none. "
        "Call `model.compile(loss=...)` first, or use `add_loss` in the model."
    )
