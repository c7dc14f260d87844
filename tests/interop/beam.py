"""Real BEAM nodes for the interop tests and the benchmarks.

    with socket_folder() as folder, Beam.start(find_otps()[0], "a@localhost", folder) as beam:
        beam.eval("1 + 1.")                                # '2'
        beam.eval("byte_size(Data).", {"Data": b"abc"})    # '3'
        beam.eval_binary("{ok, node()}.")                  # its term_to_binary
        beam.wait_until("nodes(hidden)", "['py@localhost']")

Questions to a node go over its own pair of pipes, separate from the distribution under test and
from the node's output. A synchronous program under test must run while the BEAM works on a question
about it: `submit` asks without waiting, and `pump` is a callable that runs again and again during
every wait, such as `lambda: loop.run_once(0.01)`.

An OTP release is a Debian root made by install_otp.sh and run with chroot, or an `erl` of this
machine. /tmp is the same folder inside and outside of a root, so socket files in it have one path.
"""

from __future__ import annotations

import hashlib
import os
import select
import shlex
import shutil
import signal
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Literal

HERE = Path(__file__).parent
SOURCES = (
    HERE / "carrier" / "uds_dist.erl",
    HERE / "carrier" / "uds_tcp_dist.erl",
    HERE / "erl" / "uds_dist_driver.erl",
)
HOW_TO_GET = "no BEAM for the interop tests; run `make interop-install` (tests/interop/install_otp.sh)"

# Short, because a socket path has at most 107 bytes, and the only folder bound into a root.
SHARED = "/tmp"

# The root's own /dev is empty and it has no /proc. The mount namespace ends with the node.
ENTER_ROOT = f"""
mount --rbind {SHARED} "$1{SHARED}" && mount --rbind /dev "$1/dev" && mount --rbind /proc "$1/proc" || exit 125
root=$1; shift
exec chroot "$root" env "$@"
"""

Place = Literal["flag", "environment", "nothing"]

TEXT, EXTERNAL, ELIXIR, WAIT, KILL = range(5)  # a request to the driver
KILL_TIMEOUT = 10.0


class BeamError(Exception):
    """Code on a BEAM node raised, or a node did not do what it should.

    `class_` is error, exit, throw, timeout or down; `reason` and `stack` are printed Erlang terms.
    """

    def __init__(self, class_: str, reason: str, stack: str = "", log: str = "") -> None:
        super().__init__(f"{class_}: {reason}" + (f"\n{stack}" if stack else "") + (f"\n{log}" if log else ""))
        self.class_ = class_
        self.reason = reason
        self.stack = stack


# ---- OTP releases


@dataclass(frozen=True)
class Otp:
    """One OTP release and how to run its commands.

    `root` is a Debian root, or None for a release of this machine; `build` has the compiled modules,
    and its path for the node is `build_inside`; `elixir_libs` is the node's path of the folder of
    Elixir's applications, if it has Elixir; `erl_uds_source` is the text of OTP's own example
    carrier, if this or another release has it.
    """

    label: str
    root: Path | None
    erl: str
    build: Path
    build_inside: str
    elixir_libs: str | None = None
    erl_uds_source: Path | None = None

    @property
    def has_elixir(self) -> bool:
        return self.elixir_libs is not None

    def command(self, argv: Sequence[str], cwd: str = "/", environment: Sequence[str] = ()) -> list[str]:
        """The argument vector that runs argv in folder cwd as this release, in the same process.

        `environment` is a list of NAME=VALUE.
        """
        env = ["LC_ALL=C.UTF-8", "ERL_CRASH_DUMP=/dev/null", *environment]
        if self.root is None:
            return ["env", f"--chdir={cwd}", *env, *argv]
        path = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"
        inside = [f"--chdir={cwd}", path, "HOME=/root", *env, *argv]
        return ["unshare", "--mount", "sh", "-c", ENTER_ROOT, "enter_root", str(self.root), *inside]

    def run(self, argv: Sequence[str], cwd: str = "/") -> str:
        """Run argv to its end and return what it printed; raises BeamError when it fails."""
        done = subprocess.run(
            self.command(argv, cwd), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise BeamError("exit", f"{shlex.join(argv)} returned {done.returncode}", log=done.stdout)
        return done.stdout

    def compile(self) -> str:
        """Compile the carriers and the driver, once, and return their folder as the node sees it."""
        sources = [*SOURCES, *([self.erl_uds_source] if self.erl_uds_source else [])]
        digest = hashlib.sha256(b"\0".join(source.read_bytes() for source in sources))
        name = digest.hexdigest()[:16]
        final = self.build / name
        if not final.exists():
            self.build.mkdir(parents=True, exist_ok=True)
            made = Path(tempfile.mkdtemp(prefix="new-", dir=self.build))
            for source in sources:
                shutil.copy(source, made)
            erlc = self.erl[: -len("erl")] + "erlc"
            self.run([erlc, "+debug_info", *(source.name for source in sources)], f"{self.build_inside}/{made.name}")
            try:
                made.rename(final)
            except OSError:  # another test process made it first
                shutil.rmtree(made)
        return f"{self.build_inside}/{name}"


def find_otps() -> list[Otp]:
    """The releases in the cache, and the `erl` named by UDS_DIST_ERL or found on PATH, by label."""
    roots = sorted(marker.parent for marker in cache_folder().glob("*/.uds_dist_otp"))
    examples = [path for root in roots for path in root.glob(f"usr/lib/erlang/lib/kernel-*/{EXAMPLE}")]
    found = {}
    if os.geteuid() == 0:  # chroot needs it
        for root in roots:
            found[root.name] = Otp(
                label=root.name,
                root=root,
                erl="/usr/bin/erl",
                build=root / "opt" / "uds_dist",
                build_inside="/opt/uds_dist",
                elixir_libs="/usr/lib/elixir/lib" if (root / "usr/lib/elixir/lib").is_dir() else None,
                erl_uds_source=next((e for e in examples if root in e.parents), next(iter(examples), None)),
            )
    named = os.environ.get("UDS_DIST_ERL")
    erl = named or shutil.which("erl")
    if erl:
        otp = _local_otp(erl, examples)
        if named or otp.label not in found:
            found[otp.label] = otp
    return [found[label] for label in sorted(found)]


EXAMPLE = "examples/erl_uds_dist/src/erl_uds_dist.erl"


def cache_folder() -> Path:
    """The folder in which install_otp.sh puts the releases."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(os.environ.get("UDS_DIST_OTP_CACHE") or f"{cache}/uds_dist/otp").absolute()


def _local_otp(erl: str, examples: Sequence[Path]) -> Otp:
    ask = "io:format(\"~s~n~s\", [erlang:system_info(otp_release), code:lib_dir(kernel)]), halt()."
    printed = subprocess.run(
        [erl, "-noinput", "-boot", "start_clean", "-eval", ask], stdin=subprocess.DEVNULL, capture_output=True,
        text=True, check=True,
    ).stdout  # fmt: skip
    label, kernel = printed.split("\n")
    own = Path(kernel) / EXAMPLE
    elixir = shutil.which("elixir")
    libs = Path(elixir).resolve().parent.parent / "lib" if elixir else None
    build = cache_folder() / f"build-{label}"
    return Otp(
        label=label,
        root=None,
        erl=erl,
        build=build,
        build_inside=str(build),
        elixir_libs=str(libs) if libs and (libs / "elixir").is_dir() else None,
        erl_uds_source=own if own.exists() else next(iter(examples), None),
    )


@contextmanager
def socket_folder() -> Iterator[str]:
    """A new folder for socket files, removed at the end; its path is short and all releases see it."""
    folder = tempfile.mkdtemp(prefix="uds", dir=SHARED)
    os.chmod(folder, 0o755)  # a carrier of version 2 requires this mode
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# ---- A node

Start = Callable[..., "Beam"]  # the type of the fixtures `beam` and `beams`


class Beam:
    """One running BEAM node; see `Beam.start`. A context manager that kills it at the end."""

    def __init__(self, otp: Otp, name: str, socket_dir: str, process: subprocess.Popen[bytes],
                 requests: int, answers: int, log: IO[bytes]) -> None:  # fmt: skip
        self.otp = otp
        self.name = name
        self.socket_dir = socket_dir
        self.pump: Callable[[], object] | None = None
        self._process = process
        self._requests = requests
        self._answers = answers
        self._log = log
        self._logged = b""
        self._inbox = bytearray()
        self._pending: dict[int, Pending] = {}
        self._last_id = 0

    @classmethod
    def start(cls, otp: Otp, name: str, socket_dir: str, cookie: str = "secret", carrier: str = "uds",
              version: Literal[1, 2] = 2, place: Place = "flag", mute: bool | None = None,
              hidden: bool = False, listen: bool = True, elixir: bool = False,
              extra_args: Sequence[str] = (), timeout: float = 30.0) -> Beam:  # fmt: skip
        """Start a node and wait until it can be asked.

        Args:
            name: NAME@HOST; a long name if HOST has a dot. "" starts a node without distribution.
            socket_dir: a folder under /tmp (see `socket_folder`), also the node's working folder;
                or "@DIR" for abstract sockets.
            carrier: "uds" uses OTP's module socket and behaves like deployed carriers; "uds_tcp"
                uses gen_tcp; "erl_uds" is the example that comes with OTP, which listens on
                socket_dir/NAME.
            version: the release, 1 or 2, whose rules the carrier "uds" follows.
            place: how the carrier "uds" gets socket_dir: from a "flag" of the command line, from
                the "environment" (version 2), or from "nothing", for its default place.
            mute: whether the carrier sends no ticks and leaves accepted sockets open; None means
                True for "uds", as in deployed carriers, and False for the others.
            hidden, listen: -hidden, and -dist_listen false.
            elixir: Elixir's applications are on the code path and `elixir` is started.
            extra_args: more arguments of erl.
            timeout: seconds until it must be up.

        Raises:
            BeamError: it did not start; the message has its log.
        """
        abstract = socket_dir.startswith("@")
        if not abstract and not socket_dir.startswith(SHARED + "/"):
            raise ValueError(f"socket_dir must be under {SHARED}, which the nodes share, not {socket_dir}")
        if carrier == "erl_uds" and not otp.erl_uds_source:
            raise BeamError("exit", "no release found has the erl_uds_dist example")
        argv = [otp.erl, "-noinput", "-pa", otp.compile(), "-s", "uds_dist_driver"]
        if name:
            host = name.partition("@")[2]
            argv += ["-name" if "." in host else "-sname", name, "-setcookie", cookie]
            argv += ["-proto_dist", carrier, "-no_epmd"]
            argv += [] if listen else ["-dist_listen", "false"]
            argv += ["-hidden"] if hidden else []
            if place == "flag" and carrier != "erl_uds":
                argv += ["-uds_dist", "socket_dir", f'"{socket_dir}"']
            if carrier == "uds":
                argv += ["-uds_dist", "version", str(version)]
            if mute is not None:
                argv += ["-uds_dist", "mute", str(mute).lower()]
        if elixir:
            if not otp.elixir_libs:
                raise BeamError("exit", f"OTP {otp.label} has no Elixir")
            for app in ("elixir", "logger", "eex", "iex", "ex_unit", "mix"):
                argv += ["-pa", f"{otp.elixir_libs}/{app}/ebin"]
        argv += extra_args
        environment = [f"UDS_DIST_DIR={socket_dir if place == 'environment' else ''}"]
        cwd = socket_dir if os.path.isdir(socket_dir) else SHARED

        request_end, requests = os.pipe()
        answers, answer_end = os.pipe()
        log = tempfile.TemporaryFile()
        argv += ["-uds_dist_driver", "fds", str(request_end), str(answer_end)]
        try:
            process = subprocess.Popen(
                otp.command(argv, cwd, environment), stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, pass_fds=(request_end, answer_end), start_new_session=True,
            )  # fmt: skip
        finally:
            os.close(request_end)
            os.close(answer_end)
        os.set_blocking(requests, False)
        os.set_blocking(answers, False)
        beam = cls(otp, name, socket_dir, process, requests, answers, log)
        beam._pending[0] = ready = Pending(beam, 0)
        try:
            ready.wait(timeout)
        except BaseException:
            beam.kill()
            raise
        return beam

    # -- asking

    def eval(self, expr: str, bindings: Mapping[str, bytes] | None = None, timeout: float = 10.0,
             keep: bool = True, process: str = "main") -> str:  # fmt: skip
        """Evaluate Erlang expressions in the node and return the last value, printed with ~0tp.

        Args:
            expr: expressions separated by commas; the final full stop may be left out.
            bindings: Erlang variables to set, each to a binary.
            timeout: seconds; after it the evaluating process is killed.
            keep: False forgets the variables that expr bound.
            process: which of the node's evaluating processes to use; each has its own variables and
                mailbox, and lives until its code is killed.

        Raises:
            BeamError: the code raised; with `class_`, `reason` and `stack`.
        """
        return self.submit(expr, bindings, keep, process).result(timeout)

    def eval_binary(self, expr: str, bindings: Mapping[str, bytes] | None = None, timeout: float = 10.0,
                    keep: bool = True, process: str = "main") -> bytes:  # fmt: skip
        """Like `eval`, but return term_to_binary of the value."""
        return self._submit(EXTERNAL, expr, b"", bindings, keep, process).wait(timeout)

    def eval_elixir(self, code: str, bindings: Mapping[str, bytes] | None = None, timeout: float = 10.0,
                    keep: bool = True, process: str = "main") -> str:  # fmt: skip
        """Like `eval`, with Elixir code, and the value inspected. Needs elixir=True at the start."""
        return self._submit(ELIXIR, code, b"", bindings, keep, process).result(timeout)

    def submit(self, expr: str, bindings: Mapping[str, bytes] | None = None, keep: bool = True,
               process: str = "main", elixir: bool = False) -> Pending:  # fmt: skip
        """Like `eval`, but only ask; the `Pending` has the answer later."""
        return self._submit(ELIXIR if elixir else TEXT, expr, b"", bindings, keep, process)

    def wait_until(self, expr: str, expected: str = "true", timeout: float = 10.0, process: str = "main") -> str:
        """Let the node evaluate expr until it equals the value of the expression expected.

        Raises:
            BeamError: it did not within timeout seconds; the message has its last value.
        """
        extra = struct.pack(">I", int(timeout * 1000)) + _stopped(expected).encode()
        return self._submit(WAIT, expr, extra, None, False, process).result(timeout + 10.0)

    def load_module(self, source: str) -> None:
        """Compile an Erlang module from its source text and load it."""
        with tempfile.TemporaryDirectory(dir=SHARED) as folder:
            name = source.partition("-module(")[2].partition(")")[0].strip("' ")
            Path(folder, f"{name}.erl").write_text(source, encoding="utf-8")
            load = """case compile:file(binary_to_list(File), [binary, return_errors]) of
                          {ok, Module, Beam} -> code:load_binary(Module, "test", Beam);
                          Error -> Error
                      end."""
            done = self.eval(load, {"File": f"{folder}/{name}".encode()}, keep=False, process="load_module")
        if not done.startswith("{module,"):
            raise BeamError("error", done)

    # -- the node as an operating system process

    @property
    def pid(self) -> int:
        """The process id of the emulator."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def log(self) -> str:
        """The node's output and log so far; also after its end."""
        if not self._log.closed:
            fd = self._log.fileno()  # the node uses its offset
            self._logged = os.pread(fd, os.fstat(fd).st_size, 0)
        return self._logged.decode("utf-8", "replace")

    def stop(self, timeout: float = 15.0) -> None:
        """End the node in order (init:stop): it closes its connections and removes its socket."""
        if self.alive:
            self.submit("init:stop()", process="stop")
            deadline = time.monotonic() + timeout
            pidfd = os.pidfd_open(self.pid)
            while not select.select([pidfd], [], [], 0 if self.pump else timeout)[0] and time.monotonic() < deadline:
                if self.pump:
                    self.pump()
            os.close(pidfd)
        self.kill()

    def kill(self) -> None:
        """End the node at once (SIGKILL), stopped or not. Its socket file stays behind."""
        self._process.kill()
        self._process.wait(KILL_TIMEOUT)
        if self._requests >= 0:
            os.close(self._requests)
            os.close(self._answers)
            self._requests = self._answers = -1
            self._logged = self.log.encode()
            self._log.close()

    def suspend(self) -> None:
        """Stop the node (SIGSTOP), and return once all its threads have stopped."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOWAIT)

    def resume(self) -> None:
        """Let a suspended node continue (SIGCONT)."""
        os.kill(self.pid, signal.SIGCONT)

    def __enter__(self) -> Beam:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self.kill()

    def __repr__(self) -> str:
        return f"<Beam {self.name} OTP {self.otp.label} pid {self.pid} {'up' if self.alive else 'down'}>"

    # -- the control channel; erl/uds_dist_driver.erl has the frames

    def _submit(self, kind: int, code: str, extra: bytes, bindings: Mapping[str, bytes] | None,
                keep: bool, process: str) -> Pending:  # fmt: skip
        if kind != ELIXIR:
            code = _stopped(code)
        fields = [process.encode(), code.encode(), extra]
        for name, value in (bindings or {}).items():
            fields += [name.encode(), value]
        self._last_id += 1
        pending = Pending(self, self._last_id, process)
        self._pending[self._last_id] = pending
        self._send(struct.pack(">IBB", self._last_id, kind, keep) + b"".join(map(_field, fields)))
        return pending

    def _send(self, frame: bytes) -> None:
        if self._requests < 0:
            raise self._down()
        left = memoryview(_field(frame))
        deadline = time.monotonic() + KILL_TIMEOUT
        while left:
            try:
                left = left[os.write(self._requests, left) :]
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise BeamError("timeout", f"{self!r} reads no requests") from None
                # The node may be waiting for us to read its answers.
                select.select([self._answers], [self._requests], [], 0.1)
                self._receive(0)
            except BrokenPipeError:
                raise self._down() from None

    def _receive(self, timeout: float) -> None:
        """Take the answers that come within timeout seconds, from one read."""
        if self._answers < 0:
            raise self._down()
        poll = select.poll()
        poll.register(self._answers, select.POLLIN)
        if not poll.poll(timeout * 1000):
            return
        data = os.read(self._answers, 1 << 20)
        if not data:
            raise self._down()
        self._inbox += data
        while len(self._inbox) >= 4:
            end = 4 + int.from_bytes(self._inbox[:4], "big")
            if len(self._inbox) < end:
                break
            frame = bytes(self._inbox[4:end])
            del self._inbox[:end]
            ident, failed = struct.unpack_from(">IB", frame)
            pending = self._pending.pop(ident, None)
            if pending:
                pending._answer(bool(failed), _fields(frame, 5))

    def _down(self) -> BeamError:
        return BeamError("down", f"{self!r} has ended", log=self.log[-4000:])


class Pending:
    """The answer to `Beam.submit`, which may still have to come."""

    def __init__(self, beam: Beam, ident: int, process: str = "main") -> None:
        self._beam = beam
        self._id = ident
        self._process = process
        self._value: bytes | None = None
        self._error: BeamError | None = None

    def done(self) -> bool:
        """Whether the answer is there. Never waits."""
        if self._value is None and self._error is None:
            self._beam._receive(0)
        return self._value is not None or self._error is not None

    def result(self, timeout: float = 10.0) -> str:
        """The value as text. Waits for it, running `Beam.pump` meanwhile; raises BeamError."""
        return self.wait(timeout).decode()

    def wait(self, timeout: float) -> bytes:
        """The value as bytes; see `result`."""
        deadline = time.monotonic() + timeout
        while not self.done():
            left = deadline - time.monotonic()
            if left <= 0:
                if self._id:
                    self._beam._submit(KILL, "", b"", None, False, self._process)
                log = self._beam.log[-4000:]
                raise BeamError("timeout", f"no answer from {self._beam!r} in {timeout} s", log=log)
            if self._beam.pump:
                self._beam.pump()
            else:
                self._beam._receive(left)
        if self._error:
            raise self._error
        assert self._value is not None
        return self._value

    def _answer(self, failed: bool, fields: list[bytes]) -> None:
        if failed:
            class_, reason, stack = (field.decode() for field in fields)
            self._error = BeamError(class_, reason, stack)
        else:
            (self._value,) = fields


def _stopped(expr: str) -> str:
    expr = expr.rstrip()
    return expr if expr.endswith(".") else expr + "."


def _field(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def _fields(frame: bytes, position: int) -> list[bytes]:
    fields = []
    while position < len(frame):
        end = position + 4 + int.from_bytes(frame[position : position + 4], "big")
        fields.append(frame[position + 4 : end])
        position = end
    return fields
