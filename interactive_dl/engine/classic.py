"""Classic Horovod cells on our engines: ``hvd.init()`` finds its group, ``horovod.keras`` reduces.

Horovod 0.28 predates Keras 3: its Keras optimizer trains without reducing, silently, and its
callbacks fail. ``install()`` completes ``horovod.keras`` and ``horovod.tensorflow.keras`` with this
package's optimizer and callbacks when they are imported, under Horovod's own names and arguments.
Everything else of Horovod stays as it is.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from types import ModuleType
from typing import Any

from interactive_dl.engine import _imports


def install() -> None:
    """Complete Horovod's modules when they are imported; call it before that, once or more."""
    for name, complete in {
        "horovod.common.basics": _complete_init,
        "horovod.tensorflow": _complete_tensorflow,
        "horovod.keras": _complete_keras,
        "horovod.tensorflow.keras": _complete_keras,
    }.items():
        _imports.around(name, contextmanager(partial(_afterwards, complete)))


def _afterwards(complete: Callable[[ModuleType], None], module: ModuleType) -> Iterator[None]:
    yield
    complete(module)


def _complete_init(basics: ModuleType) -> None:
    """Let ``hvd.init()`` without a communicator mean the engines that the cell runs on."""
    original = basics.HorovodBasics.init

    @functools.wraps(original)
    def init(self: Any, comm: Any = None, process_sets: Any = None) -> Any:
        if comm is not None or process_sets is not None:
            return original(self, comm=comm, process_sets=process_sets)
        from interactive_dl.engine import _horovod, group

        framework = _horovod.framework_of(self)
        if framework is None:
            return original(self)
        return group.init(framework=framework)

    basics.HorovodBasics.init = init


def _complete_tensorflow(module: ModuleType) -> None:
    """Let Horovod's own loops take the variables of a Keras 3 model."""
    broadcast = module.broadcast_variables
    tape = module._DistributedGradientTape
    gradient = tape.gradient

    @functools.wraps(broadcast)
    def broadcast_variables(variables: Iterable[Any], *args: Any, **kwargs: Any) -> Any:
        return broadcast(_plain(variables), *args, **kwargs)

    @functools.wraps(gradient)
    def plain_gradient(
        self: Any, target: Any, sources: Iterable[Any], *args: Any, **kwargs: Any
    ) -> Any:
        return gradient(self, target, _plain(sources), *args, **kwargs)

    module.__dict__["broadcast_variables"] = broadcast_variables
    tape.gradient = plain_gradient


def _plain(variables: Iterable[Any]) -> list[Any]:
    import keras

    return [v.value if isinstance(v, keras.Variable) else v for v in variables]


def _complete_keras(module: ModuleType) -> None:
    """Replace what Horovod's Keras module cannot do under Keras 3."""
    import keras

    if module.keras.__version__ != keras.__version__:
        return  # legacy tf_keras, for which Horovod's own wrapper was written

    from interactive_dl.engine import _classic_keras

    for name in _classic_keras.FUNCTIONS:
        setattr(module, name, getattr(_classic_keras, name))
    for name in _classic_keras.CALLBACKS:
        setattr(module.callbacks, name, getattr(_classic_keras, name))
