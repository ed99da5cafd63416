"""The shape of a case: what it takes to get data, train a network on it, and judge the outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar

import numpy as np

from interactive_dl.errors import UnknownSizeError
from interactive_dl.science.config import Training
from interactive_dl.science.training import fit

if TYPE_CHECKING:
    import keras

    from interactive_dl.data import Batches, Communicator, Dataset

Control = Literal["untrained", "shuffled", "constant"]
CONTROLS: tuple[Control, ...] = ("untrained", "shuffled", "constant")
"""Runs that cannot have learned: a network as it was initialised, one trained on labels in random
order, and the best answer that is the same for every sample."""


C = TypeVar("C", bound=Training)


class Predictor(Protocol):
    """A network, or what stands in for one."""

    def predict(self, batches: Batches, /, *, verbose: int = 0) -> np.ndarray:
        """Answers to all samples, in their order, shape (samples, ...)."""
        ...


@dataclass(frozen=True)
class Bound:
    """One condition of a gate: a metric on the right side of a limit."""

    metric: str
    side: Literal[">=", "<="]
    limit: float

    def holds(self, metrics: Mapping[str, float]) -> bool:
        """Whether it does; a metric that is no number does not."""
        value = metrics[self.metric]
        return value >= self.limit if self.side == ">=" else value <= self.limit

    def __str__(self) -> str:
        return f"{self.metric} {self.side} {self.limit:g}"


def missed(gate: tuple[Bound, ...], metrics: Mapping[str, float]) -> tuple[str, ...]:
    """The conditions of a gate that do not hold, each with the value; empty: passed."""
    return tuple(
        f"{bound} does not hold: {bound.metric} is {metrics[bound.metric]:.4g}"
        for bound in gate
        if not bound.holds(metrics)
    )


@dataclass(frozen=True)
class Proof:
    """What shows that a training learned.

    Attributes:
        gate: what all metrics of a training that worked fulfil, and those of no control.
        controls: those that make sense.
    """

    gate: tuple[Bound, ...]
    controls: tuple[Control, ...] = CONTROLS


@dataclass(frozen=True)
class Published:
    """A figure that the case's authors report; ``source`` says where."""

    metric: str
    value: str
    source: str


@dataclass(frozen=True)
class Task(Generic[C]):
    """One training, as a rank sees it.

    Attributes:
        case: what is trained.
        config: at which size.
        folder: of the data, as ``Case.write`` has left it.
        group: the ranks that train together.
        seed: of the initial weights and of the samples' order.
        name: of the run.
        batch_size: samples per rank and step.
        shuffle_labels: train on labels in random order, which teach nothing.
        verbose: what rank 0 prints, as in ``model.fit``.
    """

    case: Case[C]
    config: C
    folder: Path
    group: Communicator
    seed: int
    name: str
    batch_size: int
    shuffle_labels: bool = False
    verbose: int = 0


def labels(samples: Dataset) -> np.ndarray:
    """y of samples, shape (samples, ...)."""
    return samples.arrays()[1]


@dataclass(frozen=True)
class Case(Generic[C]):
    """A problem of science with everything that a training needs.

    A case is one module, or a folder with a module ``case``, that has it as ``CASE``; the name goes
    into ``science.NAMES``. Making one imports no framework: its functions do, when called.

    Attributes:
        name: as the command line has it.
        title: what it is about, in a few words.
        source: the publication it follows.
        differs: what the laptop's size does otherwise than the publication.
        sizes: configurations by name; "laptop" takes less than 2 minutes on two cores, "full" is
            the published one.
        data_fields: names of the configuration's fields on which the samples depend.
        generator: number of the generator's version: other samples, other number.
        write: ``write(config, folder, seed)`` generates all splits and writes them into a new
            folder in the format of the original's files. Sample i of a split depends on the seed,
            the split and i alone.
        open: ``open(folder, split)`` reads them, or the original's own.
        build_model: ``build_model(config)``, not compiled.
        compile: ``compile(model, config, distribute)`` gives it loss, metrics, and optimizers that
            have gone through ``distribute``.
        score: ``score(predictor, config, folder)``: metrics on the test split, by name.
        gate: what all metrics of a training that worked fulfil, and those of no control.
        parameters: published numbers of parameters by size, where they are known.
        published: what is reported of it.
        train: ``train(task)`` makes a trained network; all ranks call it.
        controls: those that make sense for this case.
        proofs: gate and controls of the sizes that have others than these.
        truth: ``truth(samples)``: what the network would answer to samples if it knew, of which
            the best constant is made.
    """

    name: str
    title: str
    source: str
    differs: str
    sizes: Mapping[str, C]
    data_fields: tuple[str, ...]
    write: Callable[[C, Path, int], None]
    open: Callable[[Path, str], Dataset]
    build_model: Callable[[C], keras.Model]
    compile: Callable[[keras.Model, C, Callable[[Any], Any]], None]
    score: Callable[[Predictor, C, Path], dict[str, float]]
    gate: tuple[Bound, ...]
    generator: int = 1
    parameters: Mapping[str, int] = field(default_factory=dict)
    published: tuple[Published, ...] = ()
    train: Callable[[Task[C]], keras.Model] = field(default=fit)
    controls: tuple[Control, ...] = CONTROLS
    proofs: Mapping[str, Proof] = field(default_factory=dict)
    truth: Callable[[Dataset], np.ndarray] = labels

    def config(self, size: str) -> C:
        """The configuration of a size.

        Raises:
            UnknownSizeError: it is none of ``sizes``.
        """
        if size not in self.sizes:
            known = ", ".join(self.sizes)
            raise UnknownSizeError(f"{self.name} has the sizes {known}, but got {size!r}.")
        return self.sizes[size]

    def proof(self, size: str) -> Proof:
        """By what a training of a size is judged."""
        return self.proofs.get(size, Proof(self.gate, self.controls))

    def recipe(self, config: C, seed: int) -> dict[str, Any]:
        """On what the files of ``write`` depend, by name."""
        fields = {name: getattr(config, name) for name in self.data_fields}
        return {"case": self.name, "generator": self.generator, "seed": seed, **fields}


@dataclass(frozen=True)
class Constant:
    """Answers the same to every sample: ``answer``, shape (...)."""

    answer: np.ndarray

    def predict(self, batches: Batches, /, *, verbose: int = 0) -> np.ndarray:
        """The answer once per sample, shape (samples, ...)."""
        return np.broadcast_to(self.answer, (batches.samples, *self.answer.shape))


def commonest(y: np.ndarray, output_shape: tuple[int, ...]) -> np.ndarray:
    """The answer that does best without looking: mean of the truth, or its classes' frequencies.

    Args:
        y: truths, shape (samples, ...); integers are classes.
        output_shape: of one prediction; classes are its last axis.

    Returns:
        float64, shape ``output_shape``.
    """
    if y.dtype.kind in "iu":
        frequencies = np.bincount(y.reshape(-1), minlength=output_shape[-1]) / y.size
        return np.broadcast_to(frequencies, output_shape)
    return y.mean(axis=0).reshape(output_shape)


def predictions(predictor: Predictor, samples: Dataset, batch_size: int) -> np.ndarray:
    """Answers to all samples, in their order, shape (samples, ...)."""
    return predictor.predict(samples.shard(shuffle=False).batch(batch_size), verbose=0)
