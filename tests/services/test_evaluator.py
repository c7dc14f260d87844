"""The Python of a prompt: what is shown, and what cannot stop the program."""

from __future__ import annotations

import ast
import linecache
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from uds_dist import ConfigError, EventLoop, Future
from uds_dist.services import interruptions
from uds_dist.services.evaluator import (
    MAX_INPUT,
    MAX_OUTPUT,
    MAX_VALUE,
    Evaluator,
    Progress,
    value_text,
)
from uds_dist.services.interruptions import checked_limit


class Prompt:
    """An evaluator and what it has written."""

    def __init__(self, shared: dict[str, object] | None = None, limit: float | None = 5.0) -> None:
        self.texts: list[str] = []
        self.busy = 0
        self.evaluator = Evaluator(shared or {}, self.texts.append, limit, self._count)

    def _count(self) -> None:
        self.busy += 1

    def __call__(self, *lines: str) -> str:
        """What is written in answer to lines that make one input."""
        self.texts.clear()
        for line in lines[:-1]:
            assert self.evaluator.push(line) is Progress.MORE
        assert self.evaluator.push(lines[-1]) is Progress.DONE
        return "".join(self.texts)


@pytest.fixture
def prompt() -> Prompt:
    """A prompt without shared names."""
    return Prompt()


def test_values_and_names(prompt: Prompt) -> None:
    assert prompt("1 + 1") == "2\n"
    assert prompt("_ + 1") == "3\n"
    assert prompt("x = 5") == ""
    assert prompt("x") == "5\n"
    assert prompt("None") == ""
    assert prompt("'grün €'") == "'grün €'\n"
    assert prompt("") == ""
    assert prompt("def f(n):", "    return n * x", "") == ""
    assert prompt("f(3)") == "15\n"
    assert prompt("for n in range(3):", "    print(n)", "") == "0\n1\n2\n"
    assert prompt("[x for n in range(2)]") == "[5, 5]\n"


def test_shared_names_are_found_everywhere_and_never_changed() -> None:
    shared: dict[str, object] = {"counter": [1]}
    prompt = Prompt(shared)
    other = Prompt(shared)
    assert prompt("counter") == "[1]\n"
    assert prompt("def f():", "    return counter", "") == ""
    assert prompt("f()") == "[1]\n"
    assert prompt("(lambda: [counter for _ in '1'])()") == "[[1]]\n"
    assert prompt("counter = 2") == ""
    assert prompt("f()") == "2\n"
    assert other("counter") == "[1]\n"
    shared["late"] = "seen"
    assert prompt("late") == "'seen'\n"
    assert "NameError" in prompt("nothing")
    assert "NameError" in Prompt(shared)("_")  # the last value is each shell's own


def test_mistakes(prompt: Prompt) -> None:
    assert "SyntaxError" in prompt("1 +")
    assert prompt("def f():", "    return 1 / 0", "") == ""
    text = prompt("f()")
    assert text.startswith("Traceback (most recent call last):\n  File \"<console ")
    assert "return 1 / 0" in text
    assert text.endswith("ZeroDivisionError: division by zero\n")
    assert "evaluator" not in text
    assert "KeyboardInterrupt" in prompt("raise KeyboardInterrupt")
    assert "GeneratorExit" in prompt("raise GeneratorExit")


def test_nothing_reaches_the_programs_own_output(
    prompt: Prompt, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prompt("print('out'); import sys; print('err', file=sys.stderr)") == "out\nerr\n"
    assert prompt("help(len)").startswith("len(obj, /)\n\nReturn the number")
    assert "would stop the program" in prompt("help()")
    assert capsys.readouterr() == ("", "")
    print("the program's")
    assert capsys.readouterr().out == "the program's\n"


@pytest.mark.parametrize(
    "source", ["input('name? ')", "breakpoint()", "import sys; sys.stdin.read()"]
)
def test_what_would_wait_is_refused_in_plain_words(prompt: Prompt, source: str) -> None:
    assert "cannot wait here" in prompt(source)


def test_what_ends_the_shell(prompt: Prompt) -> None:
    for source in ("import sys; sys.exit(3)", "raise SystemExit", "exit()", "quit()"):
        assert prompt.evaluator.push(source) is Progress.EXIT
    assert prompt("1") == "1\n"


def test_an_endless_loop_is_ended(prompt: Prompt) -> None:
    prompt = Prompt(limit=0.2)
    begun = time.monotonic()
    assert "ended after 0.2 seconds" in prompt("while True: pass", "")
    # Even one that catches everything that it can.
    stubborn = "while True:\n    try:\n        while True: pass\n    except Exception: pass\n"
    assert "ended after 0.2 seconds" in prompt(*stubborn.split("\n"))
    assert time.monotonic() - begun < 5
    assert prompt.busy >= 2
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) == signal.SIG_DFL
    assert prompt("1") == "1\n"


def test_a_timer_in_use_is_left_alone() -> None:
    prompt = Prompt(limit=0.2)
    signal.setitimer(signal.ITIMER_REAL, 1000)
    try:
        assert "ended after" in prompt("while True: pass", "")  # by another timer
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 900
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def test_in_another_thread_there_is_no_limit_and_no_error() -> None:
    prompt = Prompt(limit=0.2)
    results: list[str] = []
    thread = threading.Thread(target=lambda: results.append(prompt("1 + 1")))
    thread.start()
    thread.join()
    assert results == ["2\n"]


def test_a_future_is_waited_for(loop: EventLoop) -> None:
    future: Future[object] = Future(loop)
    prompt = Prompt({"future": future})
    assert prompt.evaluator.push("future") is Progress.WAITING
    assert prompt.evaluator.future is future
    future.set_result([1, 2])
    prompt.evaluator.show_future(future)
    assert "".join(prompt.texts) == "[1, 2]\n"
    assert prompt("_") == "[1, 2]\n"


def test_a_future_that_fails(loop: EventLoop) -> None:
    future: Future[object] = Future(loop)
    prompt = Prompt({"future": future})
    assert prompt.evaluator.push("future") is Progress.WAITING
    future.set_exception(ValueError("no luck"))
    prompt.evaluator.show_future(future)
    assert "ValueError: no luck" in "".join(prompt.texts)
    assert prompt.evaluator.future is None


def test_long_values() -> None:
    assert value_text([1] * 10, 80).count("\n") == 0
    assert value_text(list(range(100)), 80).count("\n") > 3
    assert value_text("x" * 1000, 80).count("\n") == 0
    text = value_text("x" * (MAX_VALUE * 2), 80)
    assert len(text) < MAX_VALUE + 100 and "print() shows them all" in text


def test_a_value_whose_repr_raises(prompt: Prompt) -> None:
    assert prompt("class A:", "    def __repr__(self): 1 / 0", "") == ""
    assert "ZeroDivisionError" in prompt("A()")


def test_completion() -> None:
    prompt = Prompt({"shared_name": "text"})
    prompt("own_name = 1")
    complete = prompt.evaluator.complete
    assert complete("shared_n") == ["shared_name"]
    assert complete("own_n") == ["own_name"]
    assert complete("shared_name.up") == ["shared_name.upper"]
    assert complete("shared_name.__le") == ["shared_name.__len__", "shared_name.__le__"][::-1]
    assert complete("shared_name.upper.__na") == ["shared_name.upper.__name__"]
    assert complete("nothing_like_it") == complete("nothing.at") == complete("f().x") == []
    assert complete("prin") == ["print"] and complete("lamb") == ["lambda"]
    assert "_" not in complete("")


def test_an_interrupt_drops_an_unfinished_input(prompt: Prompt) -> None:
    assert prompt.evaluator.push("def f():") is Progress.MORE
    prompt.evaluator.interrupt()
    assert prompt("1") == "1\n"


def test_closing_leaves_no_source_behind(prompt: Prompt) -> None:
    before = set(linecache.cache)
    for number in range(300):
        prompt(f"x = {number}")
    assert len(linecache.cache.keys() - before) <= 200
    prompt.evaluator.close()
    assert not {name for name in linecache.cache.keys() - before if name.startswith("<console")}


@pytest.mark.parametrize("limit", [0, -1, "5", float("nan")])
def test_a_limit_that_is_not_one(limit: object) -> None:
    with pytest.raises(ConfigError, match="time_limit"):
        checked_limit(limit)
    assert checked_limit(None) is None and checked_limit(3) == 3.0


def test_hooks_are_put_back_whatever_happens(prompt: Prompt) -> None:
    hooks: Callable[[], tuple[object, ...]] = lambda: (  # noqa: E731
        sys.stdout, sys.stderr, sys.stdin, sys.displayhook, sys.breakpointhook,
    )  # fmt: skip
    before = hooks()
    for source in ("1", "1 / 0", "raise SystemExit", "while True: pass\n"):
        Prompt(limit=0.1).evaluator.push(source)
        assert hooks() == before


# -- what must not stop, end or disturb the program ------------------------------------------------


def test_output_without_end_is_ended(prompt: Prompt) -> None:
    text = prompt("while True: print('x' * 100_000)", "")
    assert "OutputLimitError: one input may write up to" in text
    assert len(text) < MAX_OUTPUT + 2000
    assert prompt("1") == "1\n"


def test_other_threads_print_where_they_always_do(
    prompt: Prompt, capsys: pytest.CaptureFixture[str]
) -> None:
    source = "import threading; t = threading.Thread(target=print, args=('of a thread',))"
    assert prompt(source) == ""
    assert prompt("t.start(); t.join(); print('of the shell')") == "of the shell\n"
    assert capsys.readouterr().out == "of a thread\n"


def raising_handler(_number: int, _frame: object) -> None:
    raise SystemExit(3)


def test_the_programs_signals_are_the_programs() -> None:
    prompt = Prompt(limit=5.0)
    wait = "import os, signal, time; os.kill(os.getpid(), signal.{}); time.sleep(5)"
    with pytest.raises(KeyboardInterrupt):
        prompt(wait.format("SIGINT"))
    assert "a signal of the program interrupted this input" in "".join(prompt.texts)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    before = signal.signal(signal.SIGTERM, raising_handler)
    try:
        with pytest.raises(SystemExit):
            prompt(wait.format("SIGTERM"))
        # The same exceptions of the input itself are its own.
        assert "KeyboardInterrupt" in prompt("raise KeyboardInterrupt")
        assert prompt.evaluator.push("raise SystemExit") is Progress.EXIT
    finally:
        signal.signal(signal.SIGTERM, before)
    assert prompt("1") == "1\n"


def function_of_the_library(work: Callable[[], None]) -> Callable[[], None]:
    """The function `work`, called by one that the limit takes for this package's."""
    names: dict[str, Any] = {"__name__": "uds_dist.other", "work": work}
    exec("def called():\n    work()", names)
    called: Callable[[], None] = names["called"]
    return called


def spin(seconds: float) -> None:
    """Compute for a while."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


def test_the_limit_spares_a_function_of_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    clock = [0.0]

    def work() -> None:
        clock[0] = 0.7  # the limit is over, and its timer looks again a few times
        spin(0.3)
        done.append("done")

    with monkeypatch.context() as patch:
        patch.setattr(interruptions, "time", SimpleNamespace(monotonic=lambda: clock[0]))
        prompt = Prompt({"work": function_of_the_library(work)}, limit=0.6)
        assert "ended after 0.6 seconds" in prompt("work(); import time; time.sleep(5)")
        assert done == ["done"]
    # But one that does not return is ended as well.
    monkeypatch.setattr(interruptions, "GRACE", 0.1)
    prompt = Prompt({"work": function_of_the_library(lambda: spin(30.0))}, limit=0.05)
    assert "ended after 0.05 seconds" in prompt("work()")


def test_an_input_that_takes_the_timer_for_itself(prompt: Prompt) -> None:
    before = signal.getsignal(signal.SIGALRM)
    try:
        assert prompt(
            "import signal; x = signal.signal(signal.SIGALRM, lambda *_: None);"
            " y = signal.setitimer(signal.ITIMER_REAL, 500)"
        ) == ""  # fmt: skip
        assert signal.getsignal(signal.SIGALRM) not in (before, signal.SIG_DFL)
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 400
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_long_inputs(prompt: Prompt) -> None:
    begun = time.monotonic()
    body = ["    x = 1 + 2"] * 2000
    assert prompt("def f():", *body, "    return x", "") == ""
    assert prompt("f()") == "3\n"
    assert time.monotonic() - begun < 3
    assert "one input may have up to" in prompt("x" * (MAX_INPUT + 1))
    assert prompt.evaluator.push("def f():") is Progress.MORE
    assert "one input may have up to" in prompt("    " + "x" * MAX_INPUT)
    assert prompt("1") == "1\n"


def test_an_exception_whose_text_never_comes() -> None:
    prompt = Prompt(limit=0.2)
    assert prompt("class E(Exception):", "    def __str__(self):", "        while True: pass", "") == ""
    assert "E" in prompt("raise E")
    assert prompt("1") == "1\n"


def test_long_tracebacks_are_cut(prompt: Prompt) -> None:
    text = prompt("raise ValueError('x' * 1_000_000)")
    assert text.startswith("Traceback") and "ValueError" in text and len(text) < MAX_VALUE + 100


IN_A_PROCESS_OF_ITS_OWN = """
import sys
from uds_dist.services.evaluator import Evaluator
texts = []
evaluator = Evaluator({}, texts.append, 5.0)
for line in sys.argv[1:]:
    evaluator.push(line)
print(repr("".join(texts)))
assert sys.gettrace() is None
"""


def shown_by_a_program(*lines: str) -> str:
    """What inputs show in a program that pytest has not changed; it writes nothing itself."""
    done = subprocess.run(
        [sys.executable, "-W", "default::SyntaxWarning", "-c", IN_A_PROCESS_OF_ITS_OWN, *lines],
        capture_output=True, text=True, timeout=60, check=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.stderr == "" and done.stdout.count("\n") == 1
    shown: str = ast.literal_eval(done.stdout)
    return shown


def test_warnings_of_the_compiler_are_the_shells() -> None:
    text = shown_by_a_program("'a' is 'b'")
    assert "SyntaxWarning" in text and text.endswith("False\n")


def test_a_debugger_is_refused() -> None:
    text = shown_by_a_program("import pdb; pdb.set_trace(); x = 1", "'goes on'")
    assert "cannot wait here" in text
    assert text.endswith("'goes on'\n")


def test_completion_of_an_attribute_that_does_not_return() -> None:
    class Endless:
        @property
        def never(self) -> object:
            while True:
                pass

        @property
        def raises(self) -> object:
            raise SystemExit

    prompt = Prompt({"thing": Endless()})
    assert prompt.evaluator.complete("thing.ne") == ["thing.never"]
    assert prompt.evaluator.complete("thing.never.x") == []
    assert prompt.evaluator.complete("thing.raises.x") == []
    prompt("globals()[1] = 2")
    assert prompt.evaluator.complete("thi") == ["thing"]


def test_colours(prompt: Prompt) -> None:
    prompt.evaluator.colour = True
    text = prompt("1 / 0")
    assert "\x1b[1;35mZeroDivisionError\x1b[0m\x1b[35m: division" in text
    assert re.sub(r"\x1b\[[0-9;]*m", "", text).startswith("Traceback (most recent call last):\n  File")


def test_a_whole_program(prompt: Prompt) -> None:
    assert prompt.evaluator.run("def f():\n    return 3\n'not shown'\nf()\n") is Progress.DONE
    assert prompt.texts == ["3\n"]
    assert prompt.evaluator.run("1 +") is Progress.DONE
    assert "SyntaxError" in prompt.texts[-1] and prompt.evaluator.failures == 1
    assert prompt.evaluator.run("") is Progress.DONE
