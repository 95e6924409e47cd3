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
    """One direction of a node: weights by gate, and functions."""

    emit: Emitter
    weights: list[Value]
    """By gate, [inputs, hidden]."""
    recurrent: list[Value]
    bias: list[Value]
    """By gate, that of the inputs and then that of the state; [hidden] each."""
    peepholes: list[Value]
    functions: list[Function]
    clip: float
    coupled: bool
    """Whether the forget gate is what the input gate leaves."""
    reset_after: bool
    """Whether the reset gate of a GRU comes behind the product."""

    def clipped(self, x: Scalar) -> Scalar:
        return x.max(-self.clip).min(self.clip) if self.clip else x


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


def _layer(node: Node, d: int) -> Layer:
    """The weights of a direction."""
    emit, gates = node.emit, GATES[node.op]
    hidden = node.int("hidden_size", node.value(2).shape[-1])

    def parts(i: int, count: int) -> list[Value]:
        """Input i by gate."""
        value = node.optional(i)
        if value is None:
            return [known(np.zeros(hidden, node.value(0).dtype))] * count
        own = emit.reshape(emit.slice(value, 0, d, 1), value.shape[1:])
        return [emit.slice(own, 0, g * hidden, hidden) for g in range(count)]

    names = [n.decode() if isinstance(n, bytes) else n for n in node.attributes.get("activations", [])]
    each = len(DEFAULTS[node.op])
    names = names[d * each : (d + 1) * each] or DEFAULTS[node.op]
    alphas, betas = (list(node.attributes.get(f"activation_{k}", [])) for k in ("alpha", "beta"))
    return Layer(
        emit,
        [emit.transpose(w, (1, 0)) for w in parts(1, gates)],
        [emit.transpose(w, (1, 0)) for w in parts(2, gates)],
        parts(3, 2 * gates),
        parts(7, 3) if node.op == "LSTM" and node.has(7) else [],
        [_activation(n, _at(alphas, d * each + i), _at(betas, d * each + i)) for i, n in enumerate(names)],
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
    emit, (length, batch, size) = node.emit, x.shape
    hidden = layer.recurrent[0].shape[0]

    def initial(i: int) -> Value:
        value = node.optional(i)
        if value is None:
            return known(np.zeros((batch, hidden), x.dtype))
        value = emit.transpose(value, (1, 0, 2)) if batch_first else value
        return emit.reshape(emit.slice(value, 0, d, 1), (batch, hidden))

    state = [initial(5), *([initial(6)] if node.op == "LSTM" else [])]
    flat = emit.reshape(x, (length * batch, size))
    brought = [emit.reshape(matmul(emit, flat, w), (length, batch, hidden)) for w in layer.weights]
    lengths = node.optional(4)
    steps: list[Value] = [known(np.zeros((batch, hidden), x.dtype))] * length
    step = {"LSTM": _lstm, "GRU": _gru, "RNN": _rnn}[node.op]
    for t in range(length)[:: -1 if backwards else 1]:
        own = [emit.reshape(emit.slice(b, 0, t, 1), (batch, hidden)) for b in brought]
        new = step(layer, own, state)
        steps[t] = new[0]
        if lengths is not None:
            column = emit.reshape(lengths, (batch, 1))
            new = [_while(emit, column, t, a, b) for a, b in zip(new, state, strict=True)]
            steps[t] = _while(emit, column, t, steps[t], known(np.zeros((), x.dtype)))
        state = new
    return steps, state


def _while(emit: Emitter, lengths: Value, t: int, a: Value, b: Value) -> Value:
    """a for sequences longer than t, b for others."""
    return emit.map(lambda n, v, w: where(n > t, v, w), lengths, a, b, to=a.dtype)


def _gate(layer: Layer, brought: Value, state: Value, gate: int) -> tuple[Value, Value, Value, Value]:
    """What meets in a gate before its function: of the inputs, of the state, and both biases."""
    gates = len(layer.weights)
    return brought, matmul(layer.emit, state, layer.recurrent[gate]), layer.bias[gate], layer.bias[gates + gate]


def _rnn(layer: Layer, brought: list[Value], state: list[Value]) -> list[Value]:
    parts = _gate(layer, brought[0], state[0], 0)
    function = layer.functions[0]
    return [layer.emit.map(lambda x, h, b, r: function(layer.clipped(x + h + b + r)), *parts, to=brought[0].dtype)]


def _gru(layer: Layer, brought: list[Value], state: list[Value]) -> list[Value]:
    emit, (h,), dtype = layer.emit, state, brought[0].dtype
    gate, last = layer.functions

    def opened(x: Scalar, p: Scalar, b: Scalar, r: Scalar) -> Scalar:
        return gate(layer.clipped(x + p + b + r))

    update = emit.map(opened, *_gate(layer, brought[0], h, 0), to=dtype)
    reset = emit.map(opened, *_gate(layer, brought[1], h, 1), to=dtype)
    if layer.reset_after:
        x, p, b, r = _gate(layer, brought[2], h, 2)
        new = emit.map(lambda x, p, b, r, g: last(layer.clipped(x + g * (p + r) + b)), x, p, b, r, reset, to=dtype)
    else:
        part = emit.map(lambda g, v: g * v, reset, h, to=dtype)
        parts = _gate(layer, brought[2], part, 2)
        new = emit.map(lambda x, p, b, r: last(layer.clipped(x + p + b + r)), *parts, to=dtype)
    return [emit.map(lambda z, n, v: (1.0 - z) * n + z * v, update, new, h, to=dtype)]


def _lstm(layer: Layer, brought: list[Value], state: list[Value]) -> list[Value]:
    """Gates in the order input, output, forget, cell."""
    emit, (h, c), dtype = layer.emit, state, brought[0].dtype
    gate, cell, out = layer.functions
    peepholes = layer.peepholes

    def opened(x: Scalar, p: Scalar, b: Scalar, r: Scalar, *peep: Scalar) -> Scalar:
        total = x + p + b + r
        return gate(layer.clipped(total + peep[0] * peep[1] if peep else total))

    def of(number: int, seen: Value, peep: int) -> Value:
        extra = [peepholes[peep], seen] if peepholes else []
        return emit.map(opened, *_gate(layer, brought[number], h, number), *extra, to=dtype)

    entered = of(0, c, 0)
    kept = emit.map(lambda i: 1.0 - i, entered, to=dtype) if layer.coupled else of(2, c, 2)
    fresh = emit.map(lambda x, p, b, r: cell(layer.clipped(x + p + b + r)), *_gate(layer, brought[3], h, 3), to=dtype)
    new = emit.map(lambda f, c, i, n: f * c + i * n, kept, c, entered, fresh, to=dtype)
    shown = of(1, new, 1)
    return [emit.map(lambda o, c: o * out(c), shown, new, to=dtype), new]
