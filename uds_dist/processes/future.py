"""The outcome of an operation: `concurrent.futures.Future` without threads.

A future that its program has dropped is cancelled: a call that timed out and was forgotten leaves
neither an alias nor a monitor behind, here or at the peer. A future with a callback keeps itself
alive until the callback has run.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Generic, TypeVar, overload

from uds_dist.errors import CancelledError, InvalidStateError, RemoteTimeoutError
from uds_dist.transport.loop import EventLoop

T = TypeVar("T")
U = TypeVar("U")

PENDING = "pending"
FINISHED = "finished"
CANCELLED = "cancelled"


class Future(Generic[T]):
    """An outcome that comes later.

    Args:
        loop: the loop that brings the outcome.
        what: what is awaited, for the message of a timeout.
        withdraw: called when the future is cancelled or dropped while it is pending; must not
            run user code.
    """

    __slots__ = (
        "_callbacks",
        "_error",
        "_loop",
        "_result",
        "_state",
        "_withdraw",
        "what",
        "__weakref__",
    )

    def __init__(
        self,
        loop: EventLoop,
        what: str = "the answer",
        withdraw: Callable[[], object] | None = None,
    ) -> None:
        self.what = what
        self._loop = loop
        self._state = PENDING
        self._result: Any = None  # a T, once it is there
        self._error: BaseException | None = None
        self._callbacks: list[Callable[[Future[T]], object]] = []
        self._withdraw = withdraw

    def __repr__(self) -> str:
        outcome = "" if self._error is None else f" {type(self._error).__name__}"
        return f"<Future {self.what}: {self._state}{outcome}>"

    def done(self) -> bool:
        """True when there is an outcome: a result, an exception or a cancellation."""
        return self._state is not PENDING

    def cancelled(self) -> bool:
        """True when it was cancelled."""
        return self._state is CANCELLED

    def result(self, timeout: float | None = None) -> T:
        """Run the loop until the outcome is there, and return or raise it.

        Args:
            timeout: seconds to wait at most; None for as long as it takes.
        Returns:
            The result.
        Raises:
            RemoteTimeoutError: no outcome within the timeout; the future stays pending and can be
                asked again. Cancel it or drop it to withdraw the call.
            CancelledError: the future was cancelled.
            LoopReentryError: there is no outcome yet and this is a handler.
            Exception: the exception that is the outcome.
        """
        self._wait(timeout)
        if self._error is not None:
            raise self._error
        result: T = self._result
        return result

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Like `result`, but returns the exception, or None when there is a result."""
        self._wait(timeout)
        return self._error

    def _wait(self, timeout: float | None) -> None:
        if self._state is PENDING and not self._loop.run_until(self, timeout):
            raise RemoteTimeoutError(f"{self.what} did not come within {timeout:g} s")
        if self._state is CANCELLED:
            raise CancelledError(f"{self.what}: cancelled")

    def add_done_callback(self, callback: Callable[[Future[T]], object]) -> None:
        """Let the loop call `callback(future)` when the outcome is there."""
        if self._state is PENDING:
            self._callbacks.append(callback)
            # A cycle of references would not do: the garbage collector sees through it.
            self._loop.held.add(self)
        else:
            self._loop.call_soon(partial(callback, self))

    def remove_done_callback(self, callback: Callable[[Future[T]], object]) -> bool:
        """Remove a callback; a pending future without callbacks is dropped if nothing refers to it.

        Returns:
            False when it was not waiting for the outcome.
        """
        if callback not in self._callbacks:
            return False
        self._callbacks.remove(callback)
        if not self._callbacks:
            self._loop.held.discard(self)
        return True

    @overload
    def then(self, function: Callable[[T], Future[U]]) -> Future[U]: ...

    @overload
    def then(self, function: Callable[[T], U]) -> Future[U]: ...

    def then(self, function: Callable[[T], object]) -> Future[Any]:
        """Continue with the result when it is there.

        Args:
            function: called with the result inside `run_once`; it may return another future.
        Returns:
            A future with what `function` returns, or with the result of the future that it
            returns. An exception of this future or of `function` becomes its exception. Cancelling
            it cancels what it waits for.
        """
        following: Future[object] = Future(self._loop, self.what)
        # Strong references: the function runs even if the program keeps neither future.
        self._passed_on(following, partial(_go_on, following, function))
        return following

    def _passed_on(self, following: Future[U], callback: Callable[[Future[T]], object]) -> None:
        """Make a future wait for this one; cancelling it ends the wait."""
        following._withdraw = partial(self.remove_done_callback, callback)
        self.add_done_callback(callback)

    def cancel(self) -> bool:
        """Cancel the operation.

        Returns:
            False when there was an outcome already.
        """
        if self._state is not PENDING:
            return False
        withdraw = self._withdraw
        self._finish(CANCELLED)
        if withdraw is not None:
            withdraw()
        return True

    def set_result(self, result: T) -> None:
        """Set the result.

        Raises:
            InvalidStateError: there is an outcome already.
        """
        if self._state is not PENDING:
            raise self._too_late()
        self._result = result
        self._finish(FINISHED)

    def set_exception(self, error: BaseException) -> None:
        """Set an exception as the outcome.

        Raises:
            InvalidStateError: there is an outcome already.
        """
        if self._state is not PENDING:
            raise self._too_late()
        self._error = error
        self._finish(FINISHED)

    def _too_late(self) -> InvalidStateError:
        return InvalidStateError(f"{self.what}: the future is {self._state} already")

    def _finish(self, state: str) -> None:
        self._state = state
        self._withdraw = None
        if self._callbacks:
            self._loop.held.discard(self)
            callbacks, self._callbacks = self._callbacks, []
            for callback in callbacks:
                self._loop.call_soon(partial(callback, self))

    def __del__(self) -> None:
        # This may interrupt anything, so the work itself is left to the next round.
        withdraw = getattr(self, "_withdraw", None)
        if withdraw is not None and not self._loop.closed:
            self._loop.call_soon(withdraw)


def _go_on(following: Future[object], function: Callable[[T], object], done: Future[T]) -> None:
    """Call the function with the result of a future that is done."""
    if following.done():
        return  # cancelled in the same round
    try:
        value = function(done.result())
    except Exception as error:
        _fail(following, error)
        return
    if isinstance(value, Future):
        value._passed_on(following, partial(_copy, following))
    else:
        following.set_result(value)


def _copy(following: Future[U], done: Future[U]) -> None:
    if following.done():
        return
    try:
        result = done.result()
    except Exception as error:
        _fail(following, error)
    else:
        following.set_result(result)


def _fail(following: Future[U], error: Exception) -> None:
    if isinstance(error, CancelledError):
        following.cancel()
    else:
        following.set_exception(error)


def failed(loop: EventLoop, error: BaseException, what: str = "the answer") -> Future[object]:
    """A future that has failed already."""
    future: Future[object] = Future(loop, what)
    future.set_exception(error)
    return future
