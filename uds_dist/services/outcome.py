"""How a Python function ended, in Erlang's terms: it returned, or raised one of three classes.

An exception that is not an ErlangRaiseError becomes the class ``error`` with the reason
``{python_error, 'ValueError', <<"text">>}``, so an Erlang caller can match on the name. The stack
is Python's own in Erlang's form: innermost first, with file and line.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from types import FrameType, FunctionType, MethodType

from uds_dist.errors import ConfigError, ErlangError, ErlangRaiseError, Exit, TermError
from uds_dist.etf.atoms import MAX_ATOM_CHARACTERS
from uds_dist.etf.conversion import Hook
from uds_dist.etf.encode import encode
from uds_dist.etf.terms import Atom
from uds_dist.processes.future import Future
from uds_dist.processes.names import ERROR, RETURN

PYTHON_ERROR = Atom("python_error")
NOCATCH = Atom("nocatch")
UNDEF = Atom("undef")
FILE = Atom("file")
LINE = Atom("line")

MAX_FRAMES = 8  # as many as Erlang keeps, its backtrace_depth
MAX_TEXT = 4096  # characters of an exception's text
LIBRARY = __name__.partition(".")[0] + "."


class Outcome:
    """``return``, ``throw``, ``exit`` or ``error``, its term, and the stack."""

    __slots__ = ("class_", "value", "stack")

    def __init__(self, class_: Atom, value: object, stack: list[object]) -> None:
        self.class_ = class_
        self.value = value
        self.stack = stack

    @property
    def exit_reason(self) -> object:
        """The exit reason of a process whose function ended this way."""
        if self.class_ is RETURN:
            return Atom("normal")
        if self.class_ == "exit":
            return self.value
        if self.class_ == "throw":
            return ((NOCATCH, self.value), self.stack)
        return (self.value, self.stack)


def returned(value: object) -> Outcome:
    """The outcome of a function that returned."""
    return Outcome(RETURN, value, [])


def undefined(module: str, function: str, arguments: Sequence[object]) -> Outcome:
    """The outcome of a call to a function that does not exist."""
    no_place: list[object] = []
    return Outcome(ERROR, UNDEF, [(Atom(module), Atom(function), list(arguments), no_place)])


def raised(
    error: BaseException, default: Hook | None, called: tuple[str, str, int] | None = None
) -> Outcome:
    """The outcome of a function that raised.

    Args:
        error: the exception.
        default: converts the program's values to terms in the reason; see `Config.default`.
        called: the module, function and arity that Erlang called, for the end of the stack.
    Returns:
        The outcome; its reason and stack can always be encoded.
    """
    stack = _stack(error)
    if called is not None:
        stack.append((Atom(called[0]), Atom(called[1]), called[2], []))
    if isinstance(error, ErlangRaiseError):
        value = error.reason
        if isinstance(error, (ErlangError, Exit)) and type(value) is str:
            value = Atom(value[:MAX_ATOM_CHARACTERS])
        unsendable = encoding_error(value, default)
        if unsendable is None:
            return Outcome(Atom(error.class_), value, stack)
        error = unsendable
    return Outcome(ERROR, (PYTHON_ERROR, Atom(_name(type(error))), _text(error)), stack)


def outcome_of(
    future: Future[object], default: Hook | None, called: tuple[str, str, int] | None = None
) -> Outcome:
    """The outcome of a function that returned a future, now done."""
    try:
        return returned(future.result())
    except Exception as error:
        return raised(error, default, called)


def encoding_error(term: object, default: Hook | None) -> Exception | None:
    """The error that prevents a term from being sent, or None."""
    try:
        encode(term, default=default)
    except (TermError, RecursionError) as error:
        return error
    return None


def refuse_coroutines(what: str, function: object) -> None:
    """Refuse a handler that is an ``async def``: this library would never run it.

    Raises:
        ConfigError: it is a coroutine function, or an asynchronous generator's.
    """
    candidates = [function]
    if not isinstance(function, (FunctionType, MethodType)):
        candidates.append(getattr(function, "__call__", None))  # of a callable object
    for candidate in candidates:
        if inspect.iscoroutinefunction(candidate) or inspect.isasyncgenfunction(candidate):
            raise ConfigError(
                f"{what} is an async def function, which this library does not run: write a plain"
                " function, and return a uds_dist Future if the answer comes later"
            )


def drop_coroutine(answer: object) -> Exception | None:
    """Close an answer that is a coroutine and return the error for it; None for other answers."""
    if not inspect.iscoroutine(answer):
        return None
    answer.close()
    return TypeError(
        "a handler returned a coroutine, which this library does not run: return a uds_dist Future"
    )


def encoded_size(term: object) -> int:
    """The size of a peer's term in bytes; above any limit if it cannot be encoded."""
    try:
        return len(encode(term))
    except (TermError, RecursionError):
        return sys.maxsize


def charlist(text: str) -> list[int]:
    """A text as Erlang's list of characters."""
    return [ord(character) for character in text]


def _stack(error: BaseException) -> list[object]:
    frames: list[tuple[FrameType, int]] = []
    traceback = error.__traceback__
    while traceback is not None:
        # Leave out this library's own frames before the program's function.
        if frames or not _module(traceback.tb_frame).startswith(LIBRARY):
            frames.append((traceback.tb_frame, traceback.tb_lineno))
        traceback = traceback.tb_next
    stack: list[object] = []
    for frame, line in reversed(frames[-MAX_FRAMES:]):
        code = frame.f_code
        name = getattr(code, "co_qualname", code.co_name)
        where = [(FILE, charlist(code.co_filename)), (LINE, line)]
        stack.append((_atom(_module(frame)), _atom(name), code.co_argcount, where))
    return stack


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "?"))


def _atom(text: str) -> Atom:
    return Atom(text[:MAX_ATOM_CHARACTERS])


def _name(type_: type) -> str:
    module = type_.__module__
    name = type_.__qualname__
    return (name if module == "builtins" else f"{module}.{name}")[:MAX_ATOM_CHARACTERS]


def _text(error: BaseException) -> bytes:
    try:
        text = str(error)
    except Exception:
        text = "the exception has no text"
    return text[:MAX_TEXT].encode("utf-8", "backslashreplace")
