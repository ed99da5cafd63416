"""DCGAN's networks, and how they are trained against each other.

After the code of arXiv:1706.02390 (``MustafaMustafa/cosmoGAN``) with one difference: there the
filters of the discriminator's later layers are 2, 4, 6 times those of the first; here they double,
as the generator's and in DCGAN itself (arXiv:1511.06434).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import keras
from keras import layers, ops

from interactive_dl.science.cosmogan.conditioning import Modulation, centred, projection
from interactive_dl.science.cosmogan.config import Config
from interactive_dl.science.cosmogan.gradients import gradients_of, without_gradients

KERNEL = 5
SLOPE = 0.2
INITIAL_DEVIATION = 0.02
ADAM_BETA_1 = 0.5


def build_generator(config: Config) -> keras.Model:
    """From random numbers to maps.

    A conditional one is told the amplitude after each normalisation, and once more before tanh:
    convergence is twice what tanh is taken of, so that a factor there is one of the whole map.

    Returns:
        float32, shape (batch, latent), or (batch, latent + 1) with the amplitude last where it is
        conditional, to pixels in the range of tanh, (batch, size, size, 1).
    """
    coarse = config.size // 2 ** len(config.generator)
    first, *others = config.generator
    given = keras.Input((config.latent + config.is_conditional,))
    latent, told = _separated(given, config)
    features = layers.Dense(coarse * coarse * first, kernel_initializer=_initial())(latent)
    features = layers.Reshape((coarse, coarse, first))(features)
    features = layers.ReLU()(told(_normalised(features)))
    for filters in others:
        features = layers.ReLU()(told(_normalised(_upwards(filters)(features))))
    pixels = layers.Activation("tanh")(told(_upwards(1)(features)))
    return keras.Model(given, pixels, name="generator")


def build_discriminator(config: Config) -> keras.Model:
    """From maps to how real they look.

    Returns:
        float32, shape (batch, size, size, 1), and where it is conditional a list of these and the
        amplitudes, (batch, 1), to the logit of being real, (batch, 1).
    """
    pixels = keras.Input((config.size, config.size, 1))
    features = pixels
    for number, filters in enumerate(config.discriminator):
        features = layers.Conv2D(
            filters, KERNEL, strides=2, padding="same", kernel_initializer=_initial()
        )(features)
        features = layers.LeakyReLU(SLOPE)(_normalised(features) if number else features)
    features = layers.Flatten()(features)
    logit = layers.Dense(1, kernel_initializer=_initial())(features)
    if not config.is_conditional:
        return keras.Model(pixels, logit, name="discriminator")
    amplitude = keras.Input((1,))
    fitting = projection(features, centred(config)(amplitude), _initial())
    return keras.Model([pixels, amplitude], layers.Add()([logit, fitting]), name="discriminator")


def _separated(given: Any, config: Config) -> tuple[Any, Callable[[Any], Any]]:
    """The random numbers of a generator's input, and what tells features the amplitude in it."""
    if not config.is_conditional:
        return given, lambda features: features
    amplitude = centred(config)(given[:, config.latent :])
    return given[:, : config.latent], lambda features: Modulation()([features, amplitude])


def _upwards(filters: int) -> layers.Layer:
    return layers.Conv2DTranspose(
        filters, KERNEL, strides=2, padding="same", kernel_initializer=_initial()
    )


def _normalised(features: Any) -> Any:
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(features)


def _initial() -> keras.initializers.Initializer:
    """Each layer has one of its own: an initializer gives the same numbers again."""
    return keras.initializers.TruncatedNormal(stddev=INITIAL_DEVIATION)


@keras.saving.register_keras_serializable("interactive_dl.cosmogan")
class CosmoGAN(keras.Model):
    """A generator and the discriminator it has to deceive.

    ``predict`` generates: random numbers (and amplitudes) to pixels. ``fit`` takes maps and their
    amplitudes; each step updates both networks once, from the same two batches. At full size the
    generator has 12,824,449 trainable parameters, the discriminator 4,436,225.

    Args:
        config: of both networks.
    """

    def __init__(self, config: Config) -> None:
        generator = build_generator(config)
        super().__init__(generator.inputs, generator.outputs, name="cosmogan")
        self.config = config
        self.generator = generator
        self.discriminator = build_discriminator(config)
        self.noise = keras.random.SeedGenerator()
        self._means = {
            name: keras.metrics.Mean(name=name)
            for name in ("loss", "generator_loss", "discriminator_loss")
        }

    def compile(
        self,
        optimizer: keras.optimizers.Optimizer,
        generator_optimizer: keras.optimizers.Optimizer,
        **options: Any,
    ) -> None:
        """Give each network its optimizer, the discriminator the first one."""
        super().compile(optimizer, **options)
        self.generator_optimizer = generator_optimizer
        # each for its own network; left to Keras, the first might be built for both
        self.optimizer.build(self.discriminator.trainable_variables)
        self.generator_optimizer.build(self.generator.trainable_variables)

    def get_config(self) -> dict[str, Any]:
        """Arguments of a model like this one."""
        return {"config": asdict(self.config)}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> CosmoGAN:
        """The inverse of ``get_config``; JSON has made lists of tuples."""
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in config["config"].items()
        }
        return cls(Config(**fields))

    def get_compile_config(self) -> dict[str, Any]:
        """Both optimizers."""
        serialize = keras.optimizers.serialize
        return {
            "optimizer": serialize(self.optimizer),
            "generator_optimizer": serialize(self.generator_optimizer),
        }

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """The inverse of ``get_compile_config``."""
        self.compile(**{name: keras.optimizers.deserialize(one) for name, one in config.items()})

    @property
    def step_networks(self) -> tuple[keras.Model, ...]:
        """The discriminator sees real maps and generated ones."""
        return self.generator, self.discriminator, self.discriminator

    @property
    def metrics(self) -> list[keras.Metric]:
        """Means over an epoch."""
        return list(self._means.values())

    def train_step(self, data: Any) -> dict[str, Any]:
        """One update of both networks from a batch of maps and amplitudes."""
        real, amplitude, _ = keras.utils.unpack_x_y_sample_weight(data)
        networks = (self.discriminator, self.generator)
        gradients, losses = gradients_of(
            lambda: self._play(real, amplitude, training=True), networks
        )
        optimizers = (self.optimizer, self.generator_optimizer)
        with without_gradients():
            for network, optimizer, own in zip(networks, optimizers, gradients, strict=True):
                optimizer.apply(own, network.trainable_variables)
        return self._noted(losses)

    def test_step(self, data: Any) -> dict[str, Any]:
        """The losses on maps that are not trained on."""
        real, amplitude, _ = keras.utils.unpack_x_y_sample_weight(data)
        return self._noted(self._play(real, amplitude, training=False))

    def _play(self, real: Any, amplitude: Any, *, training: bool) -> tuple[Any, Any]:
        """Losses of the discriminator and of the generator, scalars."""
        fake = self.generator(self._latent(real, amplitude), training=training)
        of_real = self.discriminator(self._shown(real, amplitude), training=training)
        of_fake = self.discriminator(self._shown(fake, amplitude), training=training)
        is_swapped = self._swapped() if training else 0.0
        told_apart = _error(of_real, 1 - is_swapped) + _error(of_fake, is_swapped)
        return told_apart, _error(of_fake, 1.0)

    def _swapped(self) -> Any:
        """1 if the labels of this step are swapped, else 0."""
        draw = keras.random.uniform((), seed=self.noise)
        return ops.cast(draw < self.config.flip, "float32")

    def _latent(self, real: Any, amplitude: Any) -> Any:
        normal = keras.random.normal((ops.shape(real)[0], self.config.latent), seed=self.noise)
        if not self.config.is_conditional:
            return normal
        return ops.concatenate([normal, ops.reshape(amplitude, (-1, 1))], axis=1)

    def _shown(self, maps: Any, amplitude: Any) -> Any:
        if not self.config.is_conditional:
            return maps
        return [maps, ops.reshape(amplitude, (-1, 1))]

    def _noted(self, losses: Sequence[Any]) -> dict[str, Any]:
        discriminator, generator = losses
        values = (discriminator + generator, generator, discriminator)
        for metric, value in zip(self.metrics, values, strict=True):
            metric.update_state(value)
        return {metric.name: metric.result() for metric in self.metrics}


def _error(logits: Any, label: Any) -> Any:
    """Mean cross-entropy of logits with one label for all."""
    labels = ops.ones_like(logits) * label
    return ops.mean(ops.binary_crossentropy(labels, logits, from_logits=True))


def adam(learning_rate: float) -> keras.optimizers.Adam:
    """DCGAN's."""
    return keras.optimizers.Adam(learning_rate, beta_1=ADAM_BETA_1)
