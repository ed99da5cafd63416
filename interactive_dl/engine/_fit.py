"""Some of Keras's own methods, wrapped for models whose optimizer is distributed.

Keras may put loss scaling around the optimizer, or have the step compiled by XLA; an exception may
leave ``fit`` on one rank only; weights may be made in the first step, too late to be alike; ranks
may stand still between epochs. None of it can be mended from an optimizer or a callback. Other
models are not touched.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import keras
from keras.src.trainers.data_adapters.tf_dataset_adapter import TFDatasetAdapter

from interactive_dl.data.batches import Batches, untuned
from interactive_dl.engine import (
    _admission,
    _fit_context,
    _growth,
    _joining,
    _lag,
    _normalization,
    _phases,
    _program,
    _recovery,
    failures,
)
from interactive_dl.engine._interrupt import AgreedInterrupt, listening
from interactive_dl.engine._position import Position
from interactive_dl.engine._reduction import (
    distributed_optimizers,
    lift_out_of_loss_scaling,
    reduction_of,
)
from interactive_dl.engine.group import current, current_and_whole

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
    if reductions:
        _normalization.name_collectives(model)
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
            train = functools.partial(original, self, x, *args, **kwargs)
            if not distributed_optimizers(self):
                return train()
            if _joining.is_past(_program.begin_fit()):
                return _untrained(self)
            if _joining.is_expected():
                _joining.join(self, context, live)
            return _Together(self, context, live).fit(train)

    setattr(fit, _WRAPPED, True)
    return fit


def _untrained(model: keras.Model) -> keras.callbacks.History:
    """What a ``fit`` gives that this engine was not there for."""
    history = keras.callbacks.History()
    history.set_model(model)
    history.on_train_begin()
    model.history = history
    return history


class _Together:
    """A ``fit`` of all ranks. Where one dies, and the run wants it so, the others go on, or new
    engines take the places of the dead; new ones may also join while all live.
    """

    def __init__(self, model: keras.Model, context: _fit_context.FitContext, live: Any) -> None:
        self._model = model
        self._context = context
        self._live = live
        self._finished: list[keras.callbacks.History] = []
        self._is_short = self._is_growing = False
        self._newcomers: tuple[int, ...] = ()
        self._admitted_at: Position | None = None

    def fit(self, train: Callable[[], Any]) -> Any:
        """Train to the end; ``train`` is Keras's own ``fit``."""
        while True:
            current_and_whole()
            try:
                self._take_in()
                return _joined(self._finished, train())
            except AgreedInterrupt:
                raise
            except _growth.AgreedGrowth as agreed:
                self._live.begin_again(str(agreed))
                self._is_growing = True
            except BaseException as error:
                hopeless = self._recover(error)
                if hopeless is error:
                    raise
                if hopeless is not None:
                    raise hopeless from error
            if self._model.history not in self._finished:
                self._finished.append(self._model.history)

    def _take_in(self) -> None:
        """Let new engines in, if there are any."""
        live, context = self._live, self._context
        if self._is_short:
            live.replace()
            context.goes_back = live.growth is not None and not live.growth.trouble
        if self._is_growing or (self._is_short and live.growth is not None):
            members = current().engines
            _admission.admit(self._model, context, live.growth, live.run, live.lr_rule)
            self._newcomers = tuple(set(current().engines) - set(members))
            self._admitted_at = context.position
        self._is_short = self._is_growing = False

    def _recover(self, error: BaseException) -> BaseException | None:
        """After ``error``, have the living go on, if they can.

        Returns:
            None; if they cannot, what to raise: ``error``, or what ended the training elsewhere.
        """
        group, live = current(), self._live
        if not failures.ended_by_peer(error):
            failures.tell_and_leave(group, error)
            return error
        cause = failures.cause_of_failure(group)
        explained = failures.explanation(group, error, cause)
        strangers = self._strangers(cause)
        if not (strangers or self._may_go_on(cause)):
            return explained
        live.begin_again(str(explained))
        lost = _recovery.recover(self._model, self._context, cause.dead, live.lr_rule, strangers)
        live.tell_losses(lost)
        self._is_short = bool(lost) and live.on_rank_loss == "restart"
        self._is_growing = False
        return None

    def _may_go_on(self, cause: failures.Cause) -> bool:
        """Whether nobody raised, somebody died, and the run, which has begun, wants to go on."""
        live = self._live
        wants = live is not None and live.on_rank_loss != "stop" and live.is_open
        return wants and cause.failure is None and bool(cause.dead)

    def _strangers(self, cause: failures.Cause) -> tuple[int, ...]:
        """New engines of which one has failed before its first step: the others need none."""
        group = current()
        is_new = self._newcomers and self._context.position == self._admitted_at
        if not is_new or cause.failure is None or group.engines[group.rank] in self._newcomers:
            return ()
        engine = group.engines[cause.failure.rank]
        if engine not in self._newcomers:
            return ()
        self._live.complain(engine, cause.failure.error)
        return self._newcomers


def _joined(
    earlier: list[keras.callbacks.History], last: keras.callbacks.History
) -> keras.callbacks.History:
    """One history of all epochs that ended, of trainings that a change of the group cut apart.

    One that went back to a checkpoint has epochs again that an earlier one had.
    """
    for history in reversed(earlier):
        first = last.epoch[0] if last.epoch else math.inf
        kept = [at for at, epoch in enumerate(history.epoch) if epoch < first]
        last.epoch[:0] = [history.epoch[at] for at in kept]
        for name, values in history.history.items():
            last.history[name] = [*(values[at] for at in kept), *last.history.get(name, [])]
    return last


def _live_of(callbacks: Any) -> Any:
    """The callback of ours that looks after interrupts and losses, if there is one."""
    listed = callbacks if isinstance(callbacks, list | tuple) else [callbacks]
    return next((one for one in listed if getattr(one, "heeds_interrupts", False)), None)


def _time_steps(model: keras.Model, context: _fit_context.FitContext) -> None:
    """Have the model's ``train_step`` tell the clock when its batch is there, and begin what lags,
    during this ``fit``.

    A step that was compiled before, by a ``fit`` of the same model, tells it already.
    """
    step = _phases.clock().timed(_lag.launching(model, model.train_step))
    object.__setattr__(model, "train_step", step)
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
