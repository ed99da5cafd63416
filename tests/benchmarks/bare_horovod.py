"""Raw Horovod under ``mpiexec``: the same Keras network in the leanest TensorFlow loop there is."""

from __future__ import annotations

import horovod.tensorflow as hvd
import keras
import tensorflow as tf
from workload import BATCH, images_and_labels, shuffled, take_turns

from interactive_dl.science.rpv import build_model


def main() -> None:
    hvd.init()
    keras.utils.set_random_seed(0)
    model = build_model()
    optimizer = keras.optimizers.Adam(1e-3 * hvd.size())
    optimizer.build(model.trainable_variables)
    loss, accuracy = keras.losses.BinaryCrossentropy(), keras.metrics.BinaryAccuracy()

    @tf.function(jit_compile=False)
    def train(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            predicted = model(images, training=True)
            value = loss(labels[:, None], predicted)
        gradients = tape.gradient(value, [v.value for v in model.trainable_variables])
        optimizer.apply(hvd.grouped_allreduce(gradients), model.trainable_variables)
        accuracy.update_state(labels[:, None], predicted)
        return value

    images, labels = images_and_labels(hvd.rank())
    order = shuffled(hvd.rank())

    def step(number: int) -> None:
        part = order[number * BATCH : (number + 1) * BATCH]
        train(tf.constant(images[part]), tf.constant(labels[part])).numpy()

    hvd.broadcast_variables([v.value for v in model.variables], root_rank=0)
    take_turns(
        step,
        ranks=hvd.size(),
        speaks=hvd.rank() == 0,
        agreed=lambda value: float(hvd.allreduce(tf.constant(value), op=hvd.Max)),
    )


if __name__ == "__main__":
    main()
