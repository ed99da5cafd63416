"""One optimizer after another: the first epochs with one, the rest with the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import keras
from keras import ops

from interactive_dl.engine._wrapper import plain


@keras.saving.register_keras_serializable("interactive_dl")
class Stages(keras.optimizers.Optimizer):
    """Optimizers that follow one another, each from an epoch on.

    ``Stages({0: keras.optimizers.RMSprop(1e-3), 5: keras.optimizers.SGD(0.1, momentum=0.9)})``
    begins with RMSProp, which copes with the first epochs of large batches, and goes over to SGD,
    after Akiba, Suzuki, Fukuda 2017 (arXiv 1711.04325: ImageNet in 15 minutes), who blend the two
    where this switches.

    Each optimizer has its own learning rate, slots and count of updates (a schedule begins where
    its stage does). Which one is in charge is a variable: it is saved, loaded, broadcast and goes
    back to a checkpoint with all others. ``engine.callbacks`` moves it on as epochs begin.

    Args:
        stages: plain Keras optimizers (or names) by the epoch, from 0, that each begins with.

    Raises:
        ValueError: no stage begins with epoch 0, or an optimizer hands its gradients on to others.
    """

    def __init__(
        self, stages: Mapping[int, keras.optimizers.Optimizer | str], name: str = "stages"
    ) -> None:
        super().__init__(learning_rate=0.0, name=name)
        self.epochs = tuple(sorted(stages))
        if not self.epochs or self.epochs[0] != 0:
            raise ValueError(f"A stage must begin with epoch 0, but got epochs {self.epochs}.")
        self.optimizers = [plain(stages[epoch], "Stages") for epoch in self.epochs]
        self.stage = self.add_variable((), dtype="int32", name="stage")

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Make the variables of all of them."""
        if self.built:
            return
        for optimizer in self.optimizers:
            optimizer.build(variables)
        super().build(variables)

    @property
    def variables(self) -> list[keras.Variable]:
        """Its own, then those of each stage."""
        return [*self._variables, *(one for each in self.optimizers for one in each.variables)]

    def in_charge(self) -> keras.optimizers.Optimizer:
        """The optimizer of the stage that has begun."""
        return self.optimizers[int(ops.convert_to_numpy(self.stage))]

    def begin_epoch(self, epoch: int) -> bool:
        """Put the optimizer of ``epoch``, from 0, in charge.

        Returns:
            Whether it was another one before.
        """
        stage = sum(begin <= epoch for begin in self.epochs) - 1
        is_other = stage != int(ops.convert_to_numpy(self.stage))
        self.stage.assign(stage)
        return is_other

    def apply(self, grads: Sequence[Any], trainable_variables: Any = None) -> None:
        """Have the optimizer in charge update."""
        if not self.built:
            self.build(list(trainable_variables))
        self._apply_from(0, grads, trainable_variables)
        self._iterations.assign_add(1)

    def _apply_from(self, stage: int, grads: Sequence[Any], variables: Any) -> None:
        def apply() -> None:
            self.optimizers[stage].apply(grads, variables)

        if stage == len(self.optimizers) - 1:
            apply()
            return
        ops.cond(
            ops.equal(self.stage, stage),
            apply,
            lambda: self._apply_from(stage + 1, grads, variables),
        )

    @property
    def learning_rate(self) -> Any:
        """That of the optimizer in charge."""
        return self.in_charge().learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        self.in_charge().learning_rate = value

    def get_config(self) -> dict[str, Any]:
        """What ``from_config`` needs."""
        stages = zip(self.epochs, self.optimizers, strict=True)
        return {
            "name": self.name,
            "stages": [[at, keras.saving.serialize_keras_object(one)] for at, one in stages],
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        """Rebuild from ``get_config()``."""
        stages = {
            epoch: keras.saving.deserialize_keras_object(one, custom_objects)
            for epoch, one in config["stages"]
        }
        return cls(stages, name=config["name"])


class StageOrder(keras.callbacks.Callback):
    """Put the optimizer of each epoch in charge, as the epoch begins; on every rank alike.

    Args:
        is_loud: whether to say so.
    """

    def __init__(self, *, is_loud: bool = False) -> None:
        super().__init__()
        self.is_loud = is_loud

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Move on, if the model's optimizer has stages."""
        stages = stages_of(self.model.optimizer)
        if stages is not None and stages.begin_epoch(epoch) and self.is_loud:
            kind = type(stages.in_charge()).__name__
            print(f"\nEpoch {epoch + 1}: {kind} takes over.")


def stages_of(optimizer: Any) -> Stages | None:
    """The stages of an optimizer, inside of a loss scaling maybe; None where there are none."""
    while not isinstance(optimizer, Stages) and hasattr(optimizer, "inner_optimizer"):
        optimizer = optimizer.inner_optimizer
    return optimizer if isinstance(optimizer, Stages) else None
