"""Some of Keras's own methods, wrapped for models whose optimizer is distributed.

Keras may put loss scaling around the optimizer, or have the step compiled by XLA; an exception may
leave ``fit`` on one rank only; weights may be made in the first step, too late to be alike; ranks
may stand still between epochs. None of it can be mended from an optimizer or a callback. Other
models are not touched.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import keras
from keras.src.trainers.data_adapters.tf_dataset_adapter import TFDatasetAdapter

from interactive_dl.data.batches import Batches, untuned
from interactive_dl.engine import _fit_context, _phases, _recovery, failures
from interactive_dl.engine._interrupt import AgreedInterrupt, listening
from interactive_dl.engine._reduction import (
    distributed_optimizers,
    lift_out_of_loss_scaling,
    reduction_of,
)
from interactive_dl.engine.group import current_and_whole

_WRAPPED = "_idl_wrapped"
_COMPILED_WITH = "_idl_compiled_with"


def install() -> None:
    """Wrap the methods of all Keras models, once per process."""
    if not hasattr(keras.Model.fit, _WRAPPED):
        _wrap("make_train_function", _make_train_function)
        _wrap("fit", _fit)
        if keras.backend.backend() == "tensorflow":
            _wrap("_maybe_symbolic_build", _build)


def _wrap(name: str, wrapper: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Wrap a method in the class that defines it: elsewhere Keras would take it for a user's own,
    and load models without compiling them.
    """
    owner = next(base for base in keras.Model.__mro__ if name in vars(base))
    setattr(owner, name, wrapper(vars(owner)[name]))


def _make_train_function(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def make_train_function(self: keras.Model, force: bool = False) -> Any:
        _prepare(self)
        return original(self, force)

    return make_train_function


def _prepare(model: keras.Model) -> None:
    """Have the next step reduce.

    Not in ``compile``: in ``model.compile(distribute(optimizer))`` Python looks the method up
    before anything could be wrapped.
    """
    lift_out_of_loss_scaling(model.optimizer)
    reductions = [reduction_of(optimizer) for optimizer in distributed_optimizers(model)]
    if reductions and getattr(model, _COMPILED_WITH, None) != reductions:
        object.__setattr__(model, _COMPILED_WITH, reductions)
        model.train_function = None  # may have been compiled before the optimizer was distributed
        model.jit_compile = False  # XLA, Keras's choice where there are GPUs, has no Horovod


def _fit(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def fit(self: keras.Model, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        _refuse_weights_that_keras_ignores(x, kwargs)
        _prepare(self)
        data = (x, kwargs.get("validation_data"))
        with _fit_context.entered(self, data) as context:
            _time_steps(self, context)
            live = _live_of(kwargs.get("callbacks"))
            if live is not None:
                context.signals = context.exits.enter_context(listening())
            if not distributed_optimizers(self):
                return original(self, x, *args, **kwargs)
            return _fit_together(
                self, context, live, functools.partial(original, self, x, *args, **kwargs)
            )

    setattr(fit, _WRAPPED, True)
    return fit


def _fit_together(
    model: keras.Model, context: _fit_context.FitContext, live: Any, train: Callable[[], Any]
) -> Any:
    """Train on all ranks; where one dies, and the run wants it so, go on with the others."""
    finished: list[keras.callbacks.History] = []
    group = current_and_whole()
    while True:
        try:
            return _joined(finished, train())
        except AgreedInterrupt:
            raise
        except BaseException as error:
            if not failures.ended_by_peer(error):
                failures.tell_and_leave(group, error)
                raise
            cause = failures.cause_of_failure(group)
            explained = failures.explanation(group, error, cause)
            if cause.failure or not cause.dead or not _goes_on(live):
                raise explained from error
            live.begin_again(str(explained))
        finished.append(model.history)
        live.lost = _recovery.recover(model, context, cause.dead, live.lr_rule)
        group = current_and_whole()


def _goes_on(live: Any) -> bool:
    """Whether the run wants to go on after a loss, and has begun."""
    return live is not None and live.on_rank_loss == "shrink" and live.is_open


def _joined(
    earlier: list[keras.callbacks.History], last: keras.callbacks.History
) -> keras.callbacks.History:
    """One history of all epochs that ended, of trainings that a loss cut apart."""
    for history in reversed(earlier):
        last.epoch[:0] = history.epoch
        for name, values in history.history.items():
            last.history[name] = [*values, *last.history.get(name, [])]
    return last


def _live_of(callbacks: Any) -> Any:
    """The callback of ours that looks after interrupts and losses, if there is one."""
    listed = callbacks if isinstance(callbacks, list | tuple) else [callbacks]
    return next((one for one in listed if getattr(one, "heeds_interrupts", False)), None)


def _time_steps(model: keras.Model, context: _fit_context.FitContext) -> None:
    """Have the model's ``train_step`` tell the clock when its batch is there, during this ``fit``.

    A step that was compiled before, by a ``fit`` of the same model, tells it already.
    """
    object.__setattr__(model, "train_step", _phases.clock().timed(model.train_step))
    context.exits.callback(object.__delattr__, model, "train_step")


def _refuse_weights_that_keras_ignores(x: Any, options: dict[str, Any]) -> None:
    """Keras takes ``Batches`` as they are, and drops these arguments without a word."""
    for name in ("class_weight", "sample_weight"):
        if isinstance(x, Batches) and options.get(name) is not None:
            raise ValueError(
                f"Batches carry their own weights, but fit got {name}. Give each sample its weight"
                " instead: batches.map(lambda x, y: (x, y, weight_of_class[y])), or"
                " data.open(..., weight=...)."
            )


def _build(original: Callable[..., Any]) -> Callable[..., Any]:
    """On TensorFlow, Keras makes a subclassed model's weights in the first step; the ranks must
    have them before, to begin alike. On torch Keras itself makes them before.

    It is also where ``fit`` and ``evaluate`` have just made their iterator of the data.
    """

    @functools.wraps(original)
    def build(self: keras.Model, iterator: Any = None, data_batch: Any = None) -> None:
        distributed = bool(distributed_optimizers(self))
        if distributed and iterator is not None:
            _leave_untuned(iterator)
        original(self, iterator=iterator, data_batch=data_batch)
        unbuilt = not all(layer.built for layer in self._flatten_layers())
        if unbuilt and distributed:
            self._symbolic_build(iterator=iterator, data_batch=data_batch)

    return build


def _leave_untuned(iterator: Any) -> None:
    """Spare the ranks the pauses between epochs of data that Keras made a ``tf.data.Dataset`` of
    (arrays, generators); a dataset of the user's own stays as it is.
    """
    dataset = iterator._distributed_dataset
    made_by_keras = not isinstance(iterator.data_adapter, TFDatasetAdapter)
    if made_by_keras and dataset.options().autotune.enabled is not False:
        iterator._distributed_dataset = untuned(dataset)
