"""Products of matrices."""

from __future__ import annotations

import numpy as np

from .....dialects import tsp_tensor as tt
from ..emit import Emitter
from ..products import F32, multiplied
from ..registry import Node, lowers
from ..scalars import Scalar
from ..values import Refused, Value, known


def matmul(emit: Emitter, a: Value, b: Value, to: np.dtype[np.generic] | None = None) -> Value:
    """The product of stacks of matrices, as numpy's. Vectors are matrices with one row, or one column."""
    dtype = to or a.dtype
    if a.packed is not None and b.array is not None and b.rank == 2 and len(b.array) == a.shape[-1]:
        rows, numbers = a.packed
        a, b = emit.computed(rows, a.dtype), known(b.array[numbers])
    if a.rank < 1 or b.rank < 1 or a.shape[-1] != b.shape[-2 if b.rank > 1 else 0]:
        raise Refused(f"shapes {[*a.shape]} and {[*b.shape]} do not multiply")
    shape = _result_shape(a, b)
    if not a.size or not b.size:
        return known(np.zeros(shape, dtype))
    x = emit.reshape(a, (1, *a.shape)) if a.rank == 1 else a
    y = emit.reshape(b, (*b.shape, 1)) if b.rank == 1 else b

    def same(scale: Value) -> Value:
        return scale

    result = multiplied(emit, x, y, [x.rank - 1], [y.rank - 2], lambda p, q: bare(emit, p, q), (same, same), dtype)
    return emit.reshape(result, shape)


def _result_shape(a: Value, b: Value) -> tuple[int, ...]:
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return (*batch, *a.shape[-2:-1], *(b.shape[-1:] if b.rank > 1 else ()))


def bare(emit: Emitter, a: Value, b: Value) -> Value:
    """The product of what the MXM multiplies, f16 as f32 or i8 as i32. A matrix that lies transposed stays so."""
    ssa, turned = zip(*(_matrix(emit, v) for v in (a, b)), strict=True)
    op = tt.MatmulOp(ssa[0], ssa[1], turned[0], turned[1])
    return emit.computed(emit.add(op), F32 if a.kind == "f" else np.dtype(np.int32))


def _matrix(emit: Emitter, value: Value):
    """The operand, and whether its last two dimensions lie the other way round."""
    rank = value.rank
    swapped = (*range(rank - 2), rank - 1, rank - 2)
    if value.ssa is not None and rank > 1 and value.order == swapped:
        return value.ssa, True
    return emit.operand(value), False


@lowers("MatMul")
def matmul_(node: Node) -> Value:
    a, b = node.value(0), node.value(1)
    if a.kind != "f":
        return integer_matmul(node.emit, a, b)
    return matmul(node.emit, a, b)


def integer_matmul(emit: Emitter, a: Value, b: Value) -> Value:
    """The product of integers of up to 32 bits, which wraps: the sum of products of their bytes."""
    x = emit.reshape(a, (*a.shape, 1)) if a.rank > 1 else emit.reshape(a, (1, *a.shape, 1))
    y = emit.reshape(b, (*b.shape[:-2], 1, *b.shape[-2:])) if b.rank > 1 else emit.reshape(b, (1, *b.shape, 1))
    products = emit.map(lambda p, q: p * q, x, y, to=a.dtype)
    total = emit.reduced("sum", products, [products.rank - 2])
    return emit.reshape(total, _result_shape(a, b))


@lowers("Gemm")
def gemm(node: Node) -> Value:
    """alpha A B + beta C."""
    emit, a, b, c = node.emit, node.value(0), node.value(1), node.optional(2)
    alpha, beta = node.float("alpha", 1.0), node.float("beta", 1.0)
    a = emit.transpose(a, (1, 0)) if node.int("transA") else a
    b = emit.transpose(b, (1, 0)) if node.int("transB") else b
    dtype = a.dtype
    if a.kind != "f":
        alpha, beta = int(alpha), int(beta)
    product = matmul(emit, a, b, F32) if a.kind == "f" else integer_matmul(emit, a, b)

    def joined(x: Scalar, *bias: Scalar) -> Scalar:
        x = x if alpha == 1 else x * alpha
        return x + (bias[0] if beta == 1 else bias[0] * beta) if bias else x

    if c is None and alpha == 1:
        return emit.cast(product, dtype)
    return emit.map(joined, product, *([c] if c is not None and beta else []), to=dtype)


@lowers("Einsum")
def einsum(node: Node) -> Value:
    """Of one or two tensors: axes that both have are stacks or are summed over, by one product of matrices."""
    emit, values = node.emit, node.tensors()
    terms, result = _terms(node.text("equation"), values)
    named: list[tuple[Value, str]] = [_diagonal(node, v, t) for v, t in zip(values, terms, strict=True)]
    while len(named) > 1:
        (a, left), (b, right), *rest = named
        kept = result + "".join(t for _, t in rest)
        named = [_pair(emit, a, left, b, right, kept), *rest]
    ((value, axes),) = named
    summed = [i for i, name in enumerate(axes) if name not in result]
    value = emit.reduced("sum", value, summed)
    value = emit.reshape(value, [n for i, n in enumerate(value.shape) if i not in summed])
    axes = "".join(name for name in axes if name in result)
    return emit.transpose(value, [axes.index(name) for name in result])


def _terms(equation: str, values: list[Value]) -> tuple[list[str], str]:
    """The names of the axes of each operand and of the result; those of an ellipsis are letters of their own."""
    text = "".join(equation.split())
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    most = 0
    for term, value in zip(terms, values, strict=True):
        if "..." in term:
            most = max(most, value.rank - len(term) + 3)
    spare = [chr(0x3B1 + i) for i in range(most)]
    full: list[str] = []
    for term, value in zip(terms, values, strict=True):
        count = value.rank - len(term) + 3 if "..." in term else 0
        full.append(term.replace("...", "".join(spare[most - count :])))
    if arrow:
        return full, right.replace("...", "".join(spare))
    joined = "".join(full)
    return full, "".join(spare) + "".join(sorted(n for n in set(joined) - {*spare} if joined.count(n) == 1))


def _diagonal(node: Node, value: Value, term: str) -> tuple[Value, str]:
    """A tensor none of whose axes has one name."""
    emit = node.emit
    while (twice := next((n for n in term if term.count(n) > 1), None)) is not None:
        first = term.index(twice)
        second = term.index(twice, first + 1)
        size = value.shape[first]
        eye = np.eye(size, dtype=value.dtype).reshape([size if i in (first, second) else 1 for i in range(value.rank)])
        value = emit.reduced("sum", emit.map(lambda x, y: x * y, value, known(eye), to=value.dtype), [second])
        value = emit.reshape(value, [n for i, n in enumerate(value.shape) if i != second])
        term = term[:second] + term[second + 1 :]
    return value, term


def _pair(emit: Emitter, a: Value, left: str, b: Value, right: str, kept: str) -> tuple[Value, str]:
    """Two tensors as one: stacks of matrices are multiplied."""
    a, left = _alone(emit, a, left, right + kept)
    b, right = _alone(emit, b, right, left + kept)
    stacks = [n for n in left if n in right and n in kept]
    inner = [n for n in left if n in right and n not in kept]
    rows, columns = [n for n in left if n not in right], [n for n in right if n not in left]
    sizes = {n: max(v.shape[t.index(n)] for v, t in ((a, left), (b, right)) if n in t) for n in {*left, *right}}

    def matrices(v: Value, term: str, first: list[str], second: list[str]) -> Value:
        v = emit.transpose(v, [term.index(n) for n in (*stacks, *first, *second)])
        own = {n: v.shape[i] for i, n in enumerate((*stacks, *first, *second))}
        shape = [own[n] for n in stacks]
        return emit.reshape(v, [*shape, int(np.prod([own[n] for n in first])), int(np.prod([own[n] for n in second]))])

    x, y = matrices(a, left, rows, inner), matrices(b, right, inner, columns)
    product = matmul(emit, x, y) if x.kind == "f" else integer_matmul(emit, x, y)
    names = [*stacks, *rows, *columns]
    return emit.reshape(product, [sizes[n] for n in names]), "".join(names)


def _alone(emit: Emitter, value: Value, term: str, others: str) -> tuple[Value, str]:
    """Summed over the axes that nothing else has."""
    axes = [i for i, n in enumerate(term) if n not in others]
    total = emit.reduced("sum", value, axes)
    shape = [n for i, n in enumerate(value.shape) if i not in axes]
    return emit.reshape(total, shape), "".join(n for i, n in enumerate(term) if i not in axes)
