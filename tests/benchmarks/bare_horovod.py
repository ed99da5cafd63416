"""Raw Horovod under ``mpiexec``: the same Keras network in the leanest TensorFlow loop there is."""

from __future__ import annotations

import horovod.tensorflow as hvd
import keras
import tensorflow as tf
from workload import BATCH, STEPS, images_and_labels, seconds_per_pass, shuffled

from interactive_dl.science.rpv import build_model


def main() -> None:
    hvd.init()
    keras.utils.set_random_seed(0)
    model = build_model()
    optimizer = keras.optimizers.Adam(1e-3 * hvd.size())
    optimizer.build(model.trainable_variables)
    loss = keras.losses.BinaryCrossentropy()

    @tf.function(jit_compile=False)
    def train(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            value = loss(labels[:, None], model(images, training=True))
        gradients = tape.gradient(value, [v.value for v in model.trainable_variables])
        optimizer.apply(hvd.grouped_allreduce(gradients), model.trainable_variables)
        return value

    images, labels = images_and_labels(hvd.rank())
    order = shuffled(hvd.rank())

    def step(number: int) -> None:
        part = order[number * BATCH : (number + 1) * BATCH]
        train(tf.constant(images[part]), tf.constant(labels[part])).numpy()

    hvd.broadcast_variables([v.value for v in model.variables], root_rank=0)
    elapsed_s = seconds_per_pass(step)
    slowest_s = float(hvd.allreduce(tf.constant(elapsed_s), op=hvd.Max))
    if hvd.rank() == 0:
        print(f"samples_per_s {STEPS * BATCH * hvd.size() / slowest_s}", flush=True)


if __name__ == "__main__":
    main()
