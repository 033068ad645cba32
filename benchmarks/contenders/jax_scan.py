"""Hand-written JAX: a stack of recurrent layers over `jax.lax.scan`, with loss, gradients and update in one jit.

The formulation was chosen by CPU time a step on one thread, 4 layers of 50 units over 60 steps, with JAX 0.10.2,
for an LSTM at batch 32 and a GRU at batch 150:

- The input projection stays inside the scan. As one product over all steps, outside it, it costs the LSTM 8 per cent
  more and the GRU over 20 per cent more (`hoist`).
- The scan's body is not repeated: 2 to 5 times gain the GRU at most 2 per cent and lose the LSTM 3 to 12, and 10 times
  lose the LSTM over a third (`unroll`).
- JAX's own gradient of the scan. One that takes the weights' gradients out of the backward scan was slower, with saved
  and with recomputed gates; a layout with the units first and one scan through all layers were no faster.
- The default generator, threefry: masks from `rbg` made a step 16 to 22 per cent longer (`generator`).

Parameters and optimiser state are donated to the update. XLA flushes denormals on the CPU by itself.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from protocol import best_gflops, limit_threads, seconds, serve

# isort: split
import jax
import jaxlib
import numpy as np
from jax import lax
from jax import numpy as jnp
from workload import random_windows, training_batches

State = tuple[jax.Array, ...]
Params = dict[str, Any]


class Form(NamedTuple):
    """How a scan is written; the results are the same but for round-off."""

    unroll: int
    hoist: bool


GATES = {"lstm": 4, "gru": 3, "rnn": 1}


def lstm_update(x: jax.Array, r: jax.Array, state: State) -> State:
    """One LSTM step from its input and recurrent projections; gates in the order i, f, g, o."""
    i, f, g, o = jnp.split(x + r, 4, axis=-1)
    c = jax.nn.sigmoid(f) * state[1] + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(c), c


def gru_update(x: jax.Array, r: jax.Array, state: State) -> State:
    """One GRU step with the reset gate after the recurrent product; gates in the order z, r, n."""
    units = state[0].shape[-1]
    gates = jax.nn.sigmoid(x[..., : 2 * units] + r[..., : 2 * units])
    z, reset = jnp.split(gates, 2, axis=-1)
    n = jnp.tanh(x[..., 2 * units :] + reset * r[..., 2 * units :])
    return (n + z * (state[0] - n),)


def rnn_update(x: jax.Array, r: jax.Array, state: State) -> State:
    """One step of the plain network."""
    return (jnp.tanh(x + r),)


UPDATES: dict[str, Callable[[jax.Array, jax.Array, State], State]] = {
    "lstm": lstm_update,
    "gru": gru_update,
    "rnn": rnn_update,
}


def zero_state(cell: str, batch: int, units: int) -> State:
    """The state before the first step."""
    return (jnp.zeros((batch, units)),) * (2 if cell == "lstm" else 1)


def layer(cell: str, form: Form, weights: Params, x: jax.Array) -> jax.Array:
    """Hidden states (time, batch, units) of one layer from its inputs (time, batch, inputs)."""

    def project(x: jax.Array) -> jax.Array:
        return x @ weights["input"] + weights["bias"]

    def step(state: State, now: jax.Array) -> tuple[State, jax.Array]:
        recurrent = state[0] @ weights["kernel"] + weights["recurrent_bias"]
        state = UPDATES[cell](now if form.hoist else project(now), recurrent, state)
        return state, state[0]

    start = zero_state(cell, x.shape[1], weights["kernel"].shape[0])
    return lax.scan(step, start, project(x) if form.hoist else x, unroll=form.unroll)[1]


def drop(key: jax.Array, x: jax.Array, rate: float) -> jax.Array:
    """Dropout with a fresh mask for every number."""
    return jnp.where(jax.random.bernoulli(key, 1 - rate, x.shape), x / (1 - rate), 0.0)


def forecast(cell: str, form: Form, rate: float, params: Params, x: jax.Array, key: jax.Array | None) -> jax.Array:
    """Forecasts (batch, 1) of windows (batch, time, inputs); dropout after every layer if there is a key."""
    hidden = jnp.swapaxes(x, 0, 1)
    for index, weights in enumerate(params["layers"]):
        hidden = layer(cell, form, weights, hidden)
        hidden = hidden[-1] if index == len(params["layers"]) - 1 else hidden
        if key is not None and rate > 0:
            hidden = drop(jax.random.fold_in(key, index), hidden, rate)
    return hidden @ params["head"] + params["head_bias"]


def initial(cell: str, units: int, layers: int, inputs: int) -> Params:
    """Glorot-uniform inputs, orthogonal kernels, zero biases but for the forget gate's 1, as Keras does."""
    glorot, orthogonal = jax.nn.initializers.glorot_uniform(), jax.nn.initializers.orthogonal()
    keys = jax.random.split(jax.random.key(0), 2 * layers + 1)
    width = GATES[cell] * units
    stack = []
    for index in range(layers):
        bias = jnp.zeros(width)
        stack.append(
            {
                "input": glorot(keys[2 * index], (inputs if index == 0 else units, width)),
                "kernel": orthogonal(keys[2 * index + 1], (units, width)),
                "bias": bias.at[units : 2 * units].set(1.0) if cell == "lstm" else bias,
                "recurrent_bias": jnp.zeros(width),
            }
        )
    return {"layers": stack, "head": glorot(keys[-1], (units, 1)), "head_bias": jnp.zeros(1)}


def rmsprop(params: Params, slots: Params, grads: Params) -> tuple[Params, Params]:
    """RMSprop with Keras' defaults at learning rate 1e-3."""
    slots = jax.tree.map(lambda v, g: 0.9 * v + 0.1 * g * g, slots, grads)
    return jax.tree.map(lambda p, v, g: p - 1e-3 * g * lax.rsqrt(v + 1e-7), params, slots, grads), slots


def sgd(params: Params, slots: Params, grads: Params) -> tuple[Params, Params]:
    """SGD at learning rate 1e-2 with momentum 0.9."""
    slots = jax.tree.map(lambda m, g: 0.9 * m - 1e-2 * g, slots, grads)
    return jax.tree.map(jnp.add, params, slots), slots


@dataclass
class Job:
    """A network in training, its data on the device, and its compiled functions."""

    params: Params
    slots: Params
    key: jax.Array
    batches: list[tuple[jax.Array, jax.Array]]
    train: Callable[..., Any]
    predict: Callable[..., Any]


JOB: list[Job] = []


def versions() -> dict[str, Any]:
    """Who this is."""
    found = {"name": "jax-scan", "python": platform.python_version(), "jax": jax.__version__}
    return found | {"jaxlib": jaxlib.__version__, "numpy": np.__version__}


def training_step(cell: str, form: Form, rate: float, optimiser: str) -> Callable[..., Any]:
    """Loss, gradients and update in one jit, its old parameters and slots given up to the new ones."""
    update = rmsprop if optimiser == "rmsprop" else sgd

    def loss_of(params: Params, x: jax.Array, y: jax.Array, key: jax.Array) -> jax.Array:
        return jnp.mean((forecast(cell, form, rate, params, x, key) - y) ** 2)

    def train(params: Params, slots: Params, key: jax.Array, x: jax.Array, y: jax.Array) -> Any:
        key, now = jax.random.split(key)
        loss, grads = jax.value_and_grad(loss_of)(params, x, y, now)
        params, slots = update(params, slots, grads)
        return params, slots, key, loss

    return jax.jit(train, donate_argnums=(0, 1, 2))


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
    unroll: int = 1,
    hoist: bool = False,
    generator: str = "threefry2x32",
) -> dict[str, Any]:
    """Build the network, put its batches on the device, compile, and train one epoch to warm up."""
    JOB.clear()
    limit_threads(threads)
    x, y = training_batches(windows, batch, time, inputs)
    params, form = initial(cell, units, layers, inputs), Form(unroll, hoist)
    predict = jax.jit(lambda params, x: forecast(cell, form, 0.0, params, x, None))
    JOB.append(
        Job(
            params,
            jax.tree.map(jnp.zeros_like, params),
            jax.random.key(0, impl=generator),
            [(jax.device_put(a), jax.device_put(b)) for a, b in zip(x, y, strict=True)],
            training_step(cell, form, dropout, optimiser),
            predict,
        )
    )
    warm_up = seconds(train_epoch)
    return {"seconds": warm_up, "steps": len(x), "parameters": sum(p.size for p in jax.tree.leaves(params))}


def train_epoch() -> dict[str, Any]:
    """One pass over all batches, timed until the last update is ready."""
    job = JOB[0]
    losses = []

    def epoch() -> None:
        for x, y in job.batches:
            job.params, job.slots, job.key, loss = job.train(job.params, job.slots, job.key, x, y)
            losses.append(loss)
        jax.block_until_ready((job.params, job.slots, losses))

    taken = seconds(epoch)
    return {"seconds": taken, "steps": len(job.batches), "loss": float(np.mean(losses))}


def predict_windows(count: int = 251) -> dict[str, Any]:
    """One-step forecasts of `count` windows in one call, after one that compiles."""
    job = JOB[0]
    windows = random_windows(count, *job.batches[0][0].shape[1:])
    np.asarray(job.predict(job.params, windows))
    return {"seconds": seconds(lambda: np.asarray(job.predict(job.params, windows)))}


def free_run(steps: int = 251) -> dict[str, Any]:
    """The window slides over the network's own outputs on the device, one jitted call a step."""
    job = JOB[0]
    start = jnp.asarray(random_windows(1, *job.batches[0][0].shape[1:]))

    @jax.jit
    def advance(params: Params, window: jax.Array) -> tuple[jax.Array, jax.Array]:
        value = job.predict(params, window)
        newest = jnp.broadcast_to(value[:, None], (1, 1, window.shape[2]))
        return jnp.concatenate([window[:, 1:], newest], axis=1), value

    advance(job.params, start)
    path: list[float] = []

    def loop() -> None:
        window = start
        for _ in range(steps):
            window, value = advance(job.params, window)
            path.append(float(value[0, 0]))

    return {"seconds": seconds(loop), "last": path[-1]}


def sgemm_peak(size: int = 1024) -> dict[str, Any]:
    """The best rate of a float32 matrix product under XLA."""
    left = jnp.asarray(random_windows(1, size, size)[0])
    product = jax.jit(jnp.matmul)
    return {"gflops": best_gflops(lambda: product(left, left).block_until_ready(), size)}


if __name__ == "__main__":
    serve({f.__name__: f for f in (versions, prepare_training, train_epoch, predict_windows, free_run, sgemm_peak)})
