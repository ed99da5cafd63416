"""Two of Keras's own methods, wrapped for models whose optimizer is distributed.

``compile`` may put loss scaling around the optimizer, and an exception may leave ``fit`` on one
rank only; neither can be seen from an optimizer or a callback. Other models are not touched.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import keras

from interactive_dl.engine import failures
from interactive_dl.engine._reduction import lift_out_of_loss_scaling, reduction_of
from interactive_dl.engine.group import current_and_whole

_CONTEXT = "_idl_fit"


def install() -> None:
    """Wrap ``compile`` and ``fit`` of all Keras models, once per process."""
    if not hasattr(keras.Model.fit, _CONTEXT):
        _wrap("compile", _compile)
        _wrap("fit", _fit)


def _wrap(name: str, wrapper: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Wrap a method in the class that defines it: elsewhere Keras would take it for a user's own,
    and load models without compiling them.
    """
    owner = next(base for base in keras.Model.__mro__ if name in vars(base))
    setattr(owner, name, wrapper(vars(owner)[name]))


def data_of(model: keras.Model) -> tuple[Any, ...]:
    """The data objects of the ``fit`` that runs on ``model``: training, then validation."""
    return tuple(getattr(model, _CONTEXT, ()))


def _compile(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def compile(self: keras.Model, *args: Any, **kwargs: Any) -> Any:
        result = original(self, *args, **kwargs)
        lift_out_of_loss_scaling(self.optimizer)
        # Where there are GPUs, Keras compiles with XLA unless told otherwise; XLA has no Horovod.
        if reduction_of(self.optimizer) and kwargs.get("jit_compile", "auto") == "auto":
            self.jit_compile = False
        return result

    return compile


def _fit(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def fit(self: keras.Model, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        if reduction_of(self.optimizer) is None:
            return original(self, x, *args, **kwargs)
        group = current_and_whole()
        object.__setattr__(self, _CONTEXT, (x, kwargs.get("validation_data")))
        try:
            return original(self, x, *args, **kwargs)
        except BaseException as error:
            if failures.ended_by_peer(error):
                raise failures.explain(group, error) from error
            failures.tell(group, error)
            failures.leave()
            error.add_note(
                f"This was {group.engine_name(group.rank)} of {group.size} on {group.host}."
            )
            raise
        finally:
            object.__delattr__(self, _CONTEXT)

    setattr(fit, _CONTEXT, True)
    return fit
