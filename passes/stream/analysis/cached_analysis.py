"""What follows from an op or a value and is asked for many times: worked out once while the ops around it rest."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, TypeVar

from xdsl.ir import Operation, SSAValue

_OfT = TypeVar("_OfT", bound=Operation | SSAValue)
_T = TypeVar("_T")

_known: ContextVar[dict[tuple[Any, Operation | SSAValue], Any] | None] = ContextVar("known", default=None)


@contextmanager
def analyses_preserved() -> Generator[None]:
    """While this lasts, no op changes in what its facts depend on, so each is worked out once, also by what is called
    and says the same."""
    if _known.get() is not None:
        yield
        return
    token = _known.set({})
    try:
        yield
    finally:
        _known.reset(token)


def cached_analysis(function: Callable[[_OfT], _T]) -> Callable[[_OfT], _T]:
    """A function of an op or a value, and of the ops and the machine around it, that changes nothing."""

    @wraps(function)
    def remembered(of: _OfT) -> _T:
        known = _known.get()
        if known is None:
            return function(of)
        key = function, of
        if key not in known:
            known[key] = function(of)
        return known[key]

    return remembered
