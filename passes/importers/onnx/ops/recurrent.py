"""LSTM, GRU and RNN: what the inputs bring is one product for all steps; the steps follow each other, written out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .. import functions as fn
from ..emit import Emitter
from ..registry import Node, lowers
from ..scalars import Function, Scalar, where
from ..values import Refused, Value, known
from .control import stacked
from .products import matmul

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
DEFAULTS = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}


def _activation(name: str, alpha: float | None, beta: float | None) -> Function:
    """The function of a gate."""

    def first(default: float) -> float:
        return default if alpha is None else alpha

    functions: dict[str, Function] = {
        "relu": lambda x: x.max(0.0),
        "tanh": lambda x: x.tanh(),
        "sigmoid": fn.sigmoid,
        "affine": lambda x: x * first(1.0) + (beta or 0.0),
        "leakyrelu": lambda x: where(x < 0, x * first(0.01), x),
        "thresholdedrelu": lambda x: where(x > first(1.0), x, 0.0),
        "scaledtanh": lambda x: (x * (1.0 if beta is None else beta)).tanh() * first(1.0),
        "hardsigmoid": lambda x: fn.clipped(x * first(0.2) + (0.5 if beta is None else beta), 0.0, 1.0),
        "elu": lambda x: where(x < 0, (x.exp() - 1.0) * first(1.0), x),
        "softsign": lambda x: fn.divided(x, fn.absolute(x) + 1.0),
        "softplus": fn.log1p_exp,
    }
    if name.lower() not in functions:
        raise Refused(f"there is no activation {name}", "use Sigmoid, Tanh or Relu")
    return functions[name.lower()]


@dataclass(frozen=True)
class Layer:
    """One direction of a node: weights by gate, which lies first, and functions."""

    emit: Emitter
    weights: Value
    """[gates, inputs, hidden]."""
    recurrent: Value
    """[gates, hidden, hidden]."""
    biases: tuple[Value, Value]
    """Of the inputs and of the state, [gates, 1, hidden] each."""
    peepholes: list[Value]
    functions: list[Function]
    bound: float | None
    """Within which the state lies, where its functions say so."""
    clip: float
    coupled: bool
    """Whether the forget gate is what the input gate leaves."""
    reset_after: bool
    """Whether the reset gate of a GRU comes behind the product."""

    def clipped(self, x: Scalar) -> Scalar:
        return x.max(-self.clip).min(self.clip) if self.clip else x

    def of_state(self, state: Value, first: int, count: int) -> list[Value]:
        """The products of the state [batch, hidden] with the weights of some gates: one stack of matrices."""
        own = self.emit.slice(self.recurrent, 0, first, count)
        row = self.emit.reshape(state.bounded(self.bound), (1, *state.shape))
        return parts(self.emit, matmul(self.emit, row, own))


@lowers("LSTM", "GRU", "RNN")
def recurrent(node: Node) -> tuple[Value, ...]:
    emit, x = node.emit, node.value(0)
    lies_batch_first = bool(node.int("layout"))
    if lies_batch_first:
        x = emit.transpose(x, (1, 0, 2))
    directions = node.value(1).shape[0]
    outputs: list[Value] = []
    states: list[list[Value]] = []
    direction = node.text("direction", "forward")
    for d in range(directions):
        backwards = direction == "reverse" or d == 1
        steps, state = _direction(node, _layer(node, d), x, d, backwards, lies_batch_first)
        outputs.append(stacked(emit, steps))
        states.append(state)
    result = stacked(emit, outputs, 1)
    finals = [stacked(emit, [s[i] for s in states]) for i in range(len(states[0]))]
    if lies_batch_first:
        result = emit.transpose(result, (2, 0, 1, 3))
        finals = [emit.transpose(f, (1, 0, 2)) for f in finals]
    return (result, *finals)


def parts(emit: Emitter, value: Value) -> list[Value]:
    """The parts of the first dimension."""
    return [emit.reshape(emit.slice(value, 0, i, 1), value.shape[1:]) for i in range(value.shape[0])]


def _layer(node: Node, d: int) -> Layer:
    """The weights of a direction."""
    emit, gates = node.emit, GATES[node.op]
    hidden = node.int("hidden_size", node.value(2).shape[-1])

    def own(i: int, count: int, *rest: int) -> Value:
        """Input i by gate."""
        value = node.optional(i)
        if value is None:
            return known(np.zeros((count, hidden), node.value(0).dtype))
        return emit.reshape(emit.slice(value, 0, d, 1), (count, hidden, *rest))

    names = [n.decode() if isinstance(n, bytes) else n for n in node.attributes.get("activations", [])]
    each = len(DEFAULTS[node.op])
    names = names[d * each : (d + 1) * each] or DEFAULTS[node.op]
    alphas, betas = (list(node.attributes.get(f"activation_{k}", [])) for k in ("alpha", "beta"))
    biases = own(3, 2 * gates)
    within = all(n.lower() in ("sigmoid", "tanh", "hardsigmoid", "softsign") for n in names)
    return Layer(
        emit,
        emit.transpose(own(1, gates, node.value(1).shape[-1]), (0, 2, 1)),
        emit.transpose(own(2, gates, hidden), (0, 2, 1)),
        tuple(emit.reshape(emit.slice(biases, 0, k * gates, gates), (gates, 1, hidden)) for k in range(2)),  # pyright: ignore
        parts(emit, own(7, 3)) if node.op == "LSTM" and node.has(7) else [],
        [_activation(n, _at(alphas, d * each + i), _at(betas, d * each + i)) for i, n in enumerate(names)],
        1.0 if within and not node.has(5) else None,
        node.float("clip"),
        bool(node.int("input_forget")),
        bool(node.int("linear_before_reset")),
    )


def _at(values: Sequence[float], i: int) -> float | None:
    return float(values[i]) if i < len(values) else None


def _direction(
    node: Node, layer: Layer, x: Value, d: int, backwards: bool, batch_first: bool
) -> tuple[list[Value], list[Value]]:
    """The outputs of all steps [batch, hidden], in their order, and the last states."""
    emit, (length, batch, _) = node.emit, x.shape
    hidden = layer.recurrent.shape[-1]

    def initial(i: int) -> Value:
        value = node.optional(i)
        if value is None:
            return known(np.zeros((batch, hidden), x.dtype))
        value = emit.transpose(value, (1, 0, 2)) if batch_first else value
        return emit.reshape(emit.slice(value, 0, d, 1), (batch, hidden))

    state = [initial(5), *([initial(6)] if node.op == "LSTM" else [])]
    brought = _brought(layer, x)
    lengths = node.optional(4)
    steps: list[Value] = [known(np.zeros((batch, hidden), x.dtype))] * length
    step = {"LSTM": _lstm, "GRU": _gru, "RNN": _rnn}[node.op]
    for t in range(length)[:: -1 if backwards else 1]:
        own = [emit.reshape(emit.slice(gate, 0, t, 1), (batch, hidden)) for gate in brought]
        new = step(layer, own, state)
        steps[t] = new[0]
        if lengths is not None:
            column = emit.reshape(lengths, (batch, 1))
            new = [_while(emit, column, t, a, b) for a, b in zip(new, state, strict=True)]
            steps[t] = _while(emit, column, t, steps[t], known(np.zeros((), x.dtype)))
        state = new
    return steps, state


def _brought(layer: Layer, x: Value) -> list[Value]:
    """What the inputs bring to each gate in all steps, [length, batch, hidden], with the biases: but the last of a GRU
    whose reset gate comes behind the product has that of the inputs alone."""
    emit, (length, batch, size), gates = layer.emit, x.shape, layer.weights.shape[0]
    inputs, states = layer.biases
    if layer.reset_after:
        kept = np.ones((gates, 1, 1), x.dtype)
        kept[-1] = 0
        states = emit.map(lambda b, k: b * k, states, known(kept), to=x.dtype)
    products = matmul(emit, emit.reshape(x, (1, length * batch, size)), layer.weights)
    total = emit.map(lambda p, b, r: p + (b + r), products, inputs, states, to=x.dtype)
    return parts(emit, emit.reshape(total, (gates, length, batch, total.shape[-1])))


def _while(emit: Emitter, lengths: Value, t: int, a: Value, b: Value) -> Value:
    """a for sequences longer than t, b for others."""
    return emit.map(lambda n, v, w: where(n > t, v, w), lengths, a, b, to=a.dtype)


def _rnn(layer: Layer, brought: list[Value], state: list[Value]) -> list[Value]:
    function = layer.functions[0]
    (product,) = layer.of_state(state[0], 0, 1)
    return [layer.emit.map(lambda x, p: function(layer.clipped(x + p)), brought[0], product, to=product.dtype)]


def _gru(layer: Layer, brought: list[Value], state: list[Value]) -> list[Value]:
    """Gates in the order update, reset, hidden."""
    emit, (h,), dtype = layer.emit, state, brought[0].dtype
    gate, last = layer.functions
    products = layer.of_state(h, 0, 3 if layer.reset_after else 2)

    def opened(x: Scalar, p: Scalar) -> Scalar:
        return gate(layer.clipped(x + p))

    update, reset = (emit.map(opened, b, p, to=dtype) for b, p in zip(brought[:2], products[:2], strict=True))
    if layer.reset_after:
        bias = emit.reshape(emit.slice(layer.biases[1], 0, 2, 1), (1, h.shape[-1]))
        new = emit.map(
            lambda x, p, r, g: last(layer.clipped(x + g * (p + r))), brought[2], products[2], bias, reset, to=dtype
        )
    else:
        part = emit.map(lambda g, v: g * v, reset, h, to=dtype)
        (product,) = layer.of_state(part, 2, 1)
        new = emit.map(lambda x, p: last(layer.clipped(x + p)), brought[2], product, to=dtype)
    return [emit.map(lambda z, n, v: (1.0 - z) * n + z * v, update, new, h, to=dtype)]


def _lstm(layer: Layer, brought: list[Value], state: list[Value]) -> list[Value]:
    """Gates in the order input, output, forget, cell."""
    emit, (h, c), dtype = layer.emit, state, brought[0].dtype
    gate, cell, out = layer.functions
    products = layer.of_state(h, 0, 4)

    def opened(x: Scalar, p: Scalar, *peep: Scalar) -> Scalar:
        return gate(layer.clipped(x + p + peep[0] * peep[1] if peep else x + p))

    def of(number: int, seen: Value, peep: int) -> Value:
        extra = [layer.peepholes[peep], seen] if layer.peepholes else []
        return emit.map(opened, brought[number], products[number], *extra, to=dtype)

    entered = of(0, c, 0)
    kept = emit.map(lambda i: 1.0 - i, entered, to=dtype) if layer.coupled else of(2, c, 2)
    fresh = emit.map(lambda x, p: cell(layer.clipped(x + p)), brought[3], products[3], to=dtype)
    new = emit.map(lambda f, c, i, n: f * c + i * n, kept, c, entered, fresh, to=dtype)
    shown = of(1, new, 1)
    return [emit.map(lambda o, c: o * out(c), shown, new, to=dtype), new]
