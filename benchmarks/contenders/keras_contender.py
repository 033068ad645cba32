"""Keras 3, with its own layers and its own loops, on the backend that KERAS_BACKEND names: jax or tensorflow.

    KERAS_BACKEND=jax python keras_contender.py

Which way through Keras is fastest was measured; the defaults are the answer, and the options repeat it. For JAX it is
`fit` on arrays (`train_on_batch` takes as long or longer). For TensorFlow it is `fit` on a tf.data set of ready batches
whose autotuning is off (see `tensor_dataset`). `jit` changes nothing that can be measured there. `unroll` loses on JAX:
minutes to compile, and slower steps. On TensorFlow it saves an LSTM at batch 32 a quarter of the CPU time of a step and
a GRU at batch 150 about 5 per cent, for 12 to 28 seconds of building and sometimes minutes: not the default.
Both backends flush denormals by themselves.
"""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from functools import partial
from typing import Any

from protocol import best_gflops, limit_threads, seconds, serve

# isort: split
import keras
import numpy as np
from workload import Array, random_windows, training_batches

LAYERS = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU, "rnn": keras.layers.SimpleRNN}
BACKEND = keras.backend.backend()


@dataclass
class Job:
    """A compiled network with its data, ready to train."""

    model: keras.Model
    x: Array
    y: Array
    way: str
    dataset: Any = None


JOB: list[Job] = []


def versions() -> dict[str, Any]:
    """Who this is."""
    found = {"name": f"keras-{BACKEND}", "python": platform.python_version(), "keras": keras.__version__}
    found["numpy"] = np.__version__
    for module in ("jax", "jaxlib", "tensorflow"):
        if module in sys.modules:
            found[module] = sys.modules[module].__version__
    return found


def optimiser_named(name: str) -> keras.optimizers.Optimizer:
    """The notebook's two optimisers."""
    if name == "rmsprop":
        return keras.optimizers.RMSprop(learning_rate=1e-3)
    return keras.optimizers.SGD(learning_rate=1e-2, momentum=0.9)


def network(cell: str, units: int, layers: int, dropout: float, unroll: bool) -> keras.Sequential:
    """Recurrent layers, dropout after each, and a dense head on the last state."""
    model = keras.Sequential()
    options = {"reset_after": True} if cell == "gru" else {}
    for index in range(layers):
        sequences = index < layers - 1
        model.add(LAYERS[cell](units, return_sequences=sequences, unroll=unroll, **options))
        model.add(keras.layers.Dropout(dropout))
    model.add(keras.layers.Dense(1))
    return model


def tensor_dataset(x: Array, y: Array) -> Any:
    """A tf.data pipeline over ready tensors, already batched, without autotuning.

    With autotuning on, leaving `fit` often blocks until the tuner's sleep ends. That sleep doubles from 10 ms, so an
    epoch then ends only after 1.27, 2.55 or 5.11 s: a wait and no computing, which would flatter whoever is compared.
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    return tf.data.Dataset.from_tensor_slices((x, y)).prefetch(2).with_options(options)


def prepare_training(
    cell: str,
    batch: int,
    units: int,
    layers: int,
    time: int = 60,
    inputs: int = 1,
    windows: int = 2709,
    dropout: float = 0.2,
    threads: int | None = None,
    optimiser: str = "rmsprop",
    way: str | None = None,
    unroll: bool = False,
    jit: bool | None = None,
    steps_per_execution: int = 1,
) -> dict[str, Any]:
    """Build the network and its batches, compile, and train one epoch to warm up."""
    JOB.clear()
    limit_threads(threads)
    keras.utils.set_random_seed(0)
    x, y = training_batches(windows, batch, time, inputs)
    model = network(cell, units, layers, dropout, unroll)
    jit_compile: Any = "auto" if jit is None else jit
    model.compile(optimiser_named(optimiser), "mse", jit_compile=jit_compile, steps_per_execution=steps_per_execution)
    way = way or ("dataset" if BACKEND == "tensorflow" else "fit")
    job = Job(model, x, y, way)
    if way == "dataset":
        job.dataset = tensor_dataset(x, y)
    JOB.append(job)
    warm_up = seconds(train_epoch)
    return {"seconds": warm_up, "steps": len(x), "parameters": model.count_params()}


def fitted_loss(job: Job) -> float:
    """One pass by Keras' `fit`."""
    if job.dataset is not None:
        history = job.model.fit(job.dataset, epochs=1, verbose=0, shuffle=False)
    else:
        steps, batch = job.x.shape[:2]
        x, y = job.x.reshape(steps * batch, *job.x.shape[2:]), job.y.reshape(steps * batch, 1)
        history = job.model.fit(x, y, batch_size=batch, epochs=1, verbose=0, shuffle=False)
    return float(history.history["loss"][0])


def stepped_loss(job: Job) -> float:
    """One pass by Keras' `train_on_batch`, whose answer is the running mean of the loss."""
    job.model.reset_metrics()
    loss = 0.0
    for x, y in zip(job.x, job.y, strict=True):
        loss = float(np.asarray(job.model.train_on_batch(x, y)))
    return loss


def train_epoch() -> dict[str, Any]:
    """One pass over all batches, timed."""
    job = JOB[0]
    losses: list[float] = []
    once = stepped_loss if job.way == "train_on_batch" else fitted_loss
    taken = seconds(lambda: losses.append(once(job)))
    return {"seconds": taken, "steps": len(job.x), "loss": losses[0]}


def predict_windows(count: int = 251) -> dict[str, Any]:
    """One-step forecasts of `count` windows by one call of `predict`, after one that warms up."""
    job = JOB[0]
    windows = random_windows(count, *job.x.shape[2:])
    job.model.predict(windows, verbose=0)
    return {"seconds": seconds(lambda: job.model.predict(windows, verbose=0))}


def free_run(steps: int = 251, way: str = "predict") -> dict[str, Any]:
    """The window slides over the network's own outputs, one `predict` or `predict_on_batch` a step.

    On TensorFlow most of a `predict` call of one window is the making and closing of a data set, with the wait that
    `tensor_dataset` describes; `predict_on_batch` makes none, so it is the fair measure of the network there.
    """
    job = JOB[0]
    forecast = job.model.predict_on_batch if way == "predict_on_batch" else partial(job.model.predict, verbose=0)
    time, inputs = job.x.shape[2:]
    path = np.empty((time + steps, inputs), np.float32)
    path[:time] = random_windows(1, time, inputs)[0]
    forecast(path[None, :time])

    def loop() -> None:
        for step in range(steps):
            path[time + step] = forecast(path[None, step : time + step])[0, 0]

    return {"seconds": seconds(loop), "last": float(path[-1, 0])}


def sgemm_peak(size: int = 1024) -> dict[str, Any]:
    """The best rate of a float32 matrix product in this backend."""
    left = keras.ops.convert_to_tensor(random_windows(1, size, size)[0])
    if BACKEND == "jax":
        import jax

        product = jax.jit(jax.numpy.matmul)
        return {"gflops": best_gflops(lambda: product(left, left).block_until_ready(), size)}
    import tensorflow as tf

    return {"gflops": best_gflops(lambda: tf.linalg.matmul(left, left).numpy(), size)}


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    serve({f.__name__: f for f in (versions, prepare_training, train_epoch, predict_windows, free_run, sgemm_peak)})
