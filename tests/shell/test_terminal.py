"""Keys, lines and the screen of a remote shell, on a terminal that is a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.shell.vt import Vt
from uds_dist.shell import layout, screen
from uds_dist.shell.editor import Effect, LineEditor
from uds_dist.shell.history import MAX_LINES, History, history_path
from uds_dist.shell.io_server import Question
from uds_dist.shell.keys import Key, KeyDecoder
from uds_dist.shell.layout import begins_cluster, column_after, in_columns, text_width
from uds_dist.shell.plain import PlainConsole
from uds_dist.shell.terminal import TerminalConsole

PROMPT = "iex(1)> "


class Table:
    """A terminal and its shell, both by hand."""

    def __init__(self, columns: int = 40, rows: int = 10, history: History | None = None) -> None:
        self.vt = Vt(columns, rows)
        self.history = history or History()
        self.soon: list[Callable[[], object]] = []
        self.lines: list[str] = []
        self.events: list[str] = []
        self.completions: dict[str, tuple[str, str]] = {}
        self.waiting: list[Callable[[], object]] = []
        self.holds = False  # completions are answered by `release`
        self.question: Question | None = None  # asked again after each line
        self.console = TerminalConsole(self, self.soon.append, self.history, columns, rows)
        self.console.reader = self

    def write(self, text: str) -> None:
        self.vt.feed(text.replace("\n", "\r\n"))

    def when_ready(self, then: Callable[[], object]) -> None:
        then()

    def line(self, text: str) -> None:
        self.lines.append(text)
        if self.question is not None:
            self.console.ask(self.question)

    def end_of_input(self) -> None:
        self.events.append("end")

    def interrupt(self) -> None:
        self.events.append("interrupt")
        self.console.withdraw()

    def leave(self) -> None:
        self.events.append("leave")

    def complete(self, before: str, then: Callable[[str, str], object]) -> None:
        found = self.completions.get(before, ("", ""))
        if self.holds:
            self.waiting.append(lambda: then(*found))
        else:
            then(*found)

    def ask(self, prompt: str = PROMPT, main: bool = True, secret: bool = False) -> None:
        self.console.ask(Question(prompt, secret, main, main))

    def type(self, text: str | bytes) -> None:
        self.console.feed(text.encode() if isinstance(text, str) else text)
        self.run()

    def run(self) -> None:
        while self.soon:
            self.soon.pop(0)()

    def shows(self, text: str) -> None:
        assert self.vt.text == text
        row, column = self.vt.cursor
        assert 0 <= row < self.vt.rows and 0 <= column <= self.vt.columns


# --- keys -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        ("ab", ["text ab"]), ("\x01", ["C-a"]), ("\x1bb", ["M-b"]), ("\x1b[A", ["up"]),
        ("\x1bOD", ["left"]), ("\x1b[1;5C", ["C-right"]), ("\x1b[3~", ["delete"]),
        ("\x1b[1;3D", ["M-left"]), ("\x7f", ["backspace"]), ("\x1b\x7f", ["M-backspace"]),
        ("\r\n", ["enter"]), ("\n", ["enter"]), ("\r\r", ["enter", "enter"]), ("\t", ["tab"]),
        ("世é", ["text 世é"]), ("\x1b[200~a\tb\rc\nd\r\ne\x03\x1b[201~f",
         ["text a\tb", "enter", "text c", "enter", "text d", "enter", "text e", "text f"]),
        ("\x1b[99;99Q", []), ("\x1b[5;2~x", ["page-up", "text x"]),
    ],
)  # fmt: skip
def test_keys_however_they_are_cut(data: str, keys: list[str]) -> None:
    raw = data.encode()
    whole = KeyDecoder().feed(raw)
    assert [f"{key.name} {key.text}".rstrip(" ") for key in whole] == keys
    decoder = KeyDecoder()
    single = [key for byte in raw for key in decoder.feed(bytes([byte]))]
    assert "".join(f"<{k.name}>" if k.name != "text" else k.text for k in single) == "".join(
        f"<{k.name}>" if k.name != "text" else k.text for k in whole
    )


def test_bytes_that_are_no_text_are_seen_as_such() -> None:
    assert KeyDecoder().feed(b"a\xffb") == [Key("text", "a\ufffdb")]


# --- the line -------------------------------------------------------------------------------------


def edited(keys: str, history: list[str] | None = None) -> tuple[str, int]:
    editor = LineEditor(history or [])
    for key in KeyDecoder().feed(keys.encode()):
        editor.feed(key)
    return editor.text, editor.cursor


@pytest.mark.parametrize(
    ("keys", "text", "cursor"),
    [
        ("abc\x01x", "xabc", 1), ("abc\x02\x02\x04", "ac", 1), ("abc\x1b[D\x7f", "ac", 1),
        ("one two\x17", "one ", 4), ("foo.bar\x1b\x7f", "foo.", 4), ("one two\x01\x1bd", " two", 0),
        ("one two\x01\x0b\x19\x19", "one twoone two", 14), ("ab\x14", "ba", 2), ("abc\x15x", "x", 1),
        ("one two\x17\x17\x19", "one two", 7), ("abc\x1fd", "d", 1), ("one\x1bb\x1bu", "ONE", 3),
        ("e\u0301x\x02\x02\x04", "x", 0), ("a\x10", "second", 6), ("a\x10\x10\x0e\x0e", "a", 1),
        ("\x10\x10\x10", "first", 5), ("\x12fir\x05!", "first!", 6), ("ab\x12fir\x07", "ab", 2),
        ("\x12s\x12\x05", "first", 5), ("\x12sx\x7f\x05", "second", 6),
        ("one two\x1b[H\x1b[1;5C-", "one- two", 4),
    ],
)  # fmt: skip
def test_the_keys_of_emacs(keys: str, text: str, cursor: int) -> None:
    assert edited(keys, ["first", "second"]) == (text, cursor)


def test_the_end_of_input_is_a_key_of_an_empty_line_only() -> None:
    editor = LineEditor()
    assert editor.feed(Key("C-d")) is Effect.END
    editor.insert("a")
    assert editor.feed(Key("C-d")) is Effect.BELL


# --- the screen -----------------------------------------------------------------------------------


def test_a_line_is_typed_changed_and_accepted() -> None:
    table = Table()
    table.ask()
    table.type("1 + 1")
    table.type("\x01\x06\x06\x06-\x05")
    table.shows("iex(1)> 1 +- 1")
    table.type("\r")
    assert table.lines == ["1 +- 1\n"] and table.history.lines == ["1 +- 1"]
    assert table.vt.cursor == (1, 0)


def test_typing_at_the_end_sends_what_was_typed_and_no_more() -> None:
    table = Table()
    table.ask()
    table.vt.written = ""
    table.type("a")
    assert table.vt.written == "a"


@pytest.mark.parametrize("character", ["x", "世", "é", "e\u0301", "\t"])
def test_long_lines_wrap_and_the_cursor_is_where_it_belongs(character: str) -> None:
    for length in range(1, 60):
        table = Table(columns=20, rows=30)
        table.ask()
        for piece in character * length:
            table.type(piece if piece != "\t" else "\x1b[200~\t\x1b[201~")
        once = Table(columns=20, rows=30)
        once.ask()
        once.type("\x1b[200~" + character * length + "\x1b[201~")
        assert table.vt.lines == once.vt.lines
        assert table.vt.cursor == once.vt.cursor
        table.type("\x01")
        assert table.vt.cursor == (0, 8)
        table.type("y\x05")
        table.type("\r")
        assert table.vt.cursor[1] == 0
        assert table.lines == ["y" + character * length + "\n"]


def test_output_comes_above_the_line() -> None:
    table = Table(columns=20)
    table.ask()
    table.type("a line, longer, in 2 rows")
    table.console.write("one\n", lambda: None)
    table.console.write("two\n", lambda: None)
    table.run()
    table.shows("one\ntwo\niex(1)> a line, long\ner, in 2 rows")


def test_a_part_of_a_line_stays_before_the_prompt() -> None:
    table = Table()
    table.ask()
    table.type("x")
    for text in ("a", "b", "c\n"):
        table.console.write(text, lambda: None)
        table.run()
    table.shows("abc\niex(1)> x")


def test_a_prompt_of_several_lines_and_colours() -> None:
    table = Table()
    table.ask("Request\n\x1b[33mAllow? [Yn] \x1b[0m", main=False)
    table.type("\ty")
    table.shows("Request\nAllow? [Yn]     y")
    table.type("\x01")
    assert table.vt.cursor == (1, 12)
    table.type("\r")
    assert table.history.lines == []


def test_a_secret_is_not_shown() -> None:
    table = Table()
    table.ask("Password: ", main=False, secret=True)
    table.type("geheim")
    table.type("\r")
    table.shows("Password:")
    assert table.lines == ["geheim\n"] and "geheim" not in table.vt.written


def test_keys_wait_for_the_next_question() -> None:
    table = Table()
    table.type("1\r2\r3")
    assert table.lines == [] and table.vt.text == ""
    table.question = Question(PROMPT, main=True, history=True)
    table.ask()
    table.run()
    assert table.lines == ["1\n", "2\n"]
    table.shows("iex(1)> 1\niex(1)> 2\niex(1)> 3")


def test_a_page_is_taken_without_depth() -> None:
    table = Table()
    table.question = Question("> ", main=False)
    table.ask("> ", main=False)
    table.type("".join(f"line {number}\r" for number in range(3000)))
    assert table.lines == [f"line {number}\n" for number in range(3000)]


def test_interrupt_and_leaving_do_not_wait() -> None:
    table = Table()
    table.type("typed ahead\x03")
    assert table.events == ["interrupt"]
    table.ask()
    table.type("half\x03")
    table.shows("iex(1)> half^C")
    table.type("\x1c")
    assert table.events == ["interrupt", "interrupt", "leave"] and table.lines == []


def test_end_of_input() -> None:
    table = Table()
    table.ask()
    table.type("\x04")
    assert table.events == ["end"] and table.vt.cursor == (1, 0)


def test_the_search_is_shown_in_place_of_the_prompt() -> None:
    table = Table(history=History())
    for line in ("first line", "second"):
        table.history.add(line)
    table.ask()
    table.type("\x12ir")
    table.shows("(reverse-i-search)`ir': first line")
    table.type("q")
    table.shows("(failed reverse-i-search)`irq': first li\nne")
    table.type("\x07")
    table.shows("iex(1)>")


def test_completion_and_keys_meanwhile() -> None:
    table = Table()
    table.completions = {"Enum.cou": ("nt", ""), "x = Str": ("", "String\nStream\n")}
    table.holds = True
    table.ask()
    table.type("Enum.cou\t([])")
    table.shows("iex(1)> Enum.cou")
    table.waiting.pop()()
    table.run()
    table.shows("iex(1)> Enum.count([])")
    table.type("\x15x = Str\t")
    table.waiting.pop()()
    table.shows("iex(1)> x = Str\nString\nStream\niex(1)> x = Str")
    # One that comes after an interrupt is dropped.
    table.type("\t")
    table.type("\x03")
    table.ask()
    table.waiting.pop()()
    table.shows("iex(1)> x = Str\nString\nStream\niex(1)> x = Str^C\niex(1)>")


def test_a_tab_that_indents_is_one() -> None:
    table = Table()
    table.ask()
    table.type("\tx\r")
    assert table.lines == ["\tx\n"]


def test_a_line_in_between_comes_back() -> None:
    table = Table()
    table.ask()
    table.type("40 + 2\x02")
    draft = table.console.withdraw()
    assert (draft.text, draft.cursor) == ("40 + 2", 5)
    table.shows("")
    table.console.ask(Question(PROMPT, main=True, draft=draft))
    table.type("1")
    table.shows("iex(1)> 40 + 12")


def test_the_window_changes() -> None:
    table = Table(columns=40)
    table.ask()
    table.type("one two three")
    table.vt.resize(30, 8)
    table.console.resize(30, 8)
    table.shows("iex(1)> one two three")
    table.type("!\r")
    assert table.lines == ["one two three!\n"] and table.console.size() == (30, 8)


def test_a_line_longer_than_the_screen_is_shown_in_part() -> None:
    table = Table(columns=20, rows=5)
    table.ask()
    text = "".join(f"{number}," for number in range(200))
    table.type(text)
    table.type("\x02!\r")
    assert table.lines == [text[:-1] + "!,\n"]


def test_a_key_in_a_very_long_line_costs_no_more_than_a_screen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = Table()
    table.ask()
    table.type("\x1b[200~" + "x" * 100_000 + "\x1b[201~")
    looked_at = 0

    def char_width(character: str) -> int:
        nonlocal looked_at
        looked_at += 1
        return 1

    monkeypatch.setattr(layout, "char_width", char_width)
    monkeypatch.setattr(screen, "char_width", char_width)
    for key in ("\x02", "y", "\x01", "\x06", "\x05", "\x7f"):
        looked_at = 0
        table.vt.written = ""
        table.type(key)
        assert looked_at < 5 * 40 * 10 and len(table.vt.written) < 2 * 40 * 10
    table.type("\r")
    assert table.lines == ["x" * 99_999 + "y" + "\n"]


def test_a_shell_that_is_suspended_and_continued() -> None:
    table = Table()
    stopped: list[str] = []
    table.ask()
    table.type("1 + ")
    table.type("\x1a")  # nobody to stop it
    table.console.on_suspend = lambda: stopped.append(table.vt.text)
    table.type("\x1a2")
    assert stopped == ["iex(1)> 1 +"]
    table.console.suspend()
    assert table.vt.cursor == (1, 0)
    table.vt.feed("[1]+  Stopped\r\n$ fg\r\n")
    table.console.redraw()
    table.type(" + 3\r")
    table.shows("iex(1)> 1 + 2\n[1]+  Stopped\n$ fg\niex(1)> 1 + 2 + 3")
    assert table.lines == ["1 + 2 + 3\n"]


@pytest.mark.parametrize("columns", [1, 2, 3])
def test_a_terminal_of_hardly_any_columns(columns: int) -> None:
    table = Table(columns=columns, rows=3)
    table.ask()
    table.type("ab世\x02\x02c\x05d")
    table.console.write("out\n", lambda: None)
    table.run()
    table.console.resize(40, 10)
    table.type("\r")
    assert table.lines == ["acb世d\n"]


def test_the_screen_is_cleared() -> None:
    table = Table()
    table.console.write("old\n", lambda: None)
    table.ask()
    table.type("x\x0c")
    table.shows("iex(1)> x")


# --- history --------------------------------------------------------------------------------------


def test_history_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "state" / "uds_dist" / "iex_history"
    history = History(str(path))
    for line in ("one", "one", "  ", "two\n", "grün"):
        history.add(line)
    assert path.read_text("utf-8") == "one\ntwo\ngrün\n"
    assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o077 == 0
    assert History(str(path)).lines == ["one", "two", "grün"]
    path.write_text("".join(f"{number}\n" for number in range(2 * MAX_LINES + 1)))
    assert len(History(str(path)).lines) == MAX_LINES
    assert len(path.read_text().splitlines()) == MAX_LINES


def test_history_without_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    history = History(str(tmp_path / "file" / "history"))
    history.add("one")
    assert history.lines == ["one"]


@pytest.mark.parametrize(
    ("environment", "path"),
    [
        ({"XDG_STATE_HOME": "/s", "HOME": "/h"}, "/s/uds_dist/erl_history"),
        ({"HOME": "/h"}, "/h/.local/state/uds_dist/erl_history"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/h"}, "/h/.local/state/uds_dist/erl_history"),
        ({}, None),
    ],
)
def test_where_the_history_is(environment: dict[str, str], path: str | None) -> None:
    assert history_path("erl", environment) == path


# --- without a terminal ---------------------------------------------------------------------------


class Pipe:
    """Standard input and output as pipes, and a shell, by hand."""

    def __init__(self) -> None:
        self.printed = ""
        self.lines: list[str] = []
        self.events: list[str] = []
        self.wanted: list[bool] = []
        self.soon: list[Callable[[], object]] = []
        self.console = PlainConsole(self, self.soon.append)
        self.console.reader = self
        self.console.source = self

    def write(self, text: str) -> None:
        self.printed += text

    def when_ready(self, then: Callable[[], object]) -> None:
        then()

    def read(self, wanted: bool) -> None:
        self.wanted.append(wanted)

    def line(self, text: str) -> None:
        self.lines.append(text)

    def end_of_input(self) -> None:
        self.events.append("end")

    def interrupt(self) -> None: ...

    def leave(self) -> None: ...

    def complete(self, before: str, then: Callable[[str, str], object]) -> None: ...

    def ask(self, main: bool = True) -> None:
        self.console.ask(Question("> ", main=main))
        while self.soon:
            self.soon.pop(0)()


def test_lines_of_a_pipe_one_by_one() -> None:
    pipe = Pipe()
    pipe.console.write("the banner\n", lambda: None)
    pipe.ask()
    pipe.console.write("output\n", lambda: None)
    assert pipe.printed == "output\n" and pipe.wanted == [True]
    data = "1\ngrün\nthe last".encode()
    pipe.console.feed(data[:5])
    pipe.console.feed(data[5:])
    assert pipe.lines == ["1\n"]
    pipe.ask()
    pipe.ask()
    assert pipe.lines == ["1\n", "grün\n"]
    pipe.console.feed(b"")
    assert pipe.lines == ["1\n", "grün\n", "the last\n"]
    assert pipe.events == []
    pipe.ask()
    assert pipe.events == ["end"]


# --- widths ---------------------------------------------------------------------------------------


def test_widths() -> None:
    assert text_width("a世e\u0301\x1b[1mb\x1b[0m") == 5
    text = "ae\u0301b"
    assert [index for index in range(len(text) + 1) if begins_cluster(text, index)] == [0, 1, 3, 4]
    assert column_after("one\ntwo", 5, 80) == 3 and column_after("x", 5, 80) == 6
    assert column_after("\x1b[31mred\x1b[0m", 0, 80) == 3
    assert in_columns(["a", "b", "c"], 6) == "a  c\nb\n"
