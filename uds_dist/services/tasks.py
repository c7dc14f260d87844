"""Elixir's Task.Supervisor, answered in Python: tasks that run exposed functions.

``Task.Supervisor.async({name, node}, module, function, arguments)`` asks the supervisor for a
process, watches or links it, and only then sends it what to run. The result goes to the alias
that comes along; a task that fails exits with the reason, as a task of Elixir does.
"""

from __future__ import annotations

import logging

from uds_dist.errors import TermError
from uds_dist.etf.shown import shown
from uds_dist.etf.terms import Atom, Pid, Reference
from uds_dist.processes.future import Future
from uds_dist.processes.mailbox import Mailbox
from uds_dist.processes.table import NORMAL, Processes
from uds_dist.services.exposed import Exposed
from uds_dist.services.gen import From, answer_to
from uds_dist.services.outcome import ERROR, Outcome, outcome_of, raised
from uds_dist.services.server import SHUTDOWN, GenServer, Stop, is_abnormal
from uds_dist.services.system import OK
from uds_dist.transport.timers import Timer

logger = logging.getLogger(__name__)

# Seconds that a new task waits to be told what to run, as in Elixir.
START_TIMEOUT = 5.0
TASK_MODULES = [Atom("Elixir.Task.Supervised")]


class TaskSupervisor(GenServer):
    """Answers Task.Supervisor's requests; run it by `Node.serve_tasks`.

    Args:
        exposed: the functions that tasks can run.
    """

    def __init__(self, exposed: Exposed) -> None:
        self.exposed = exposed
        self._tasks: dict[Pid, Task] = {}

    def handle_call(self, request: object, from_: From) -> object:
        """Answer start_task, which_children, count_children and terminate_child."""
        match request:
            case (Atom("start_task"), [(_, _, Pid() as owner), how], restart, _shutdown):
                return self._start(owner, how != "nomonitor", restart, None)
            case (Atom("start_task"), [(_, _, Pid() as owner), _, mfa], restart, _shutdown):
                return self._start(owner, False, restart, mfa)
            case Atom("which_children"):
                worker = (Atom("worker"), TASK_MODULES)
                return [(Atom("undefined"), pid, *worker) for pid in self._tasks]
            case Atom("count_children"):
                count = len(self._tasks)
                counts = {"specs": count, "active": count, "supervisors": 0, "workers": count}
                return [(Atom(name), number) for name, number in counts.items()]
            case (Atom("terminate_child"), Pid() as pid):
                task = self._tasks.get(pid)
                if task is None:
                    return (ERROR, Atom("not_found"))
                task.end(SHUTDOWN)
                return OK
        return Stop((Atom("bad_call"), request))

    def terminate(self, reason: object) -> object:
        """Take the tasks along."""
        for task in tuple(self._tasks.values()):
            task.end(SHUTDOWN)
        return None

    def get_state(self) -> object:
        """The pids of the tasks."""
        return list(self._tasks)

    def _start(self, owner: Pid, monitor: bool, restart: object, mfa: object) -> object:
        if restart is not None and restart != "temporary":
            return (ERROR, (Atom("not_supported"), (Atom("restart"), restart)))
        task = Task(self, self._running().processes, owner, monitor, mfa)
        return (OK, task.process.pid)


class Task:
    """One task: a process that is told what to run, runs it, and ends."""

    def __init__(
        self,
        supervisor: TaskSupervisor,
        processes: Processes,
        owner: Pid,
        monitor: bool,
        mfa: object,
    ) -> None:
        self._tasks = supervisor._tasks
        self._exposed = supervisor.exposed
        self._processes = processes
        self._owner = owner
        self._timer: Timer | None = None
        self._watch: Reference | None = None
        self._future: Future[object] | None = None
        self.process: Mailbox = processes.new_mailbox(on_message=self._on_message)
        self.process.on_exit = self._ended
        self._tasks[self.process.pid] = self
        if mfa is not None:
            self.process.loop.call_soon(lambda: self._run(None, None, mfa))
        elif monitor:
            self._watch = self.process.monitor(owner)
            self._timer = self.process.loop.call_later(START_TIMEOUT, self._too_late)

    def _on_message(self, message: object) -> None:
        match message:
            case (Pid() as owner, ref, (Pid() | Reference()) as reply_to, _callers, mfa) if (
                owner == self._owner and self._future is None
            ):
                self._stop_waiting()
                self._run(ref, reply_to, mfa)
            case (Atom("DOWN"), ref, _, _, reason) if ref == self._watch:
                self.end((SHUTDOWN, reason))

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._watch is not None and self.process.alive:
            self.process.demonitor(self._watch, flush=True)

    def _too_late(self) -> None:
        self.end(Atom("timeout"))

    def _run(self, ref: object, reply_to: Pid | Reference | None, mfa: object) -> None:
        if not self.process.alive:
            return
        if not (isinstance(mfa, tuple) and len(mfa) == 3):
            self.end(Atom("badarg"))
            return
        try:
            outcome = self._exposed.run(*mfa)
        except BaseException as error:
            self._finish(ref, reply_to, raised(error))
            raise
        if isinstance(outcome, Outcome):
            self._finish(ref, reply_to, outcome)
            return
        self._future = outcome

        def done(future: Future[object]) -> None:
            if self._future is future and self.process.alive:
                self._finish(ref, reply_to, outcome_of(future))

        self._done = done
        outcome.add_done_callback(done)

    def _finish(self, ref: object, reply_to: Pid | Reference | None, outcome: Outcome) -> None:
        if outcome.class_ == "return" and reply_to is not None:
            try:
                answer_to(self._processes, self.process.pid, reply_to, (ref, outcome.value))
            except (TermError, RecursionError) as error:
                outcome = raised(error)
        reason = outcome.exit_reason
        if is_abnormal(reason):
            logger.error("the task %s has ended: %s", self.process.pid, shown(reason))
        self.end(reason)

    def end(self, reason: object = NORMAL) -> None:
        """End the task."""
        self.process.close(reason)
        self._ended(reason)

    def _ended(self, _reason: object) -> None:
        if self._tasks.pop(self.process.pid, None) is None:
            return
        self._stop_waiting()
        if self._future is not None:
            self._future.remove_done_callback(self._done)
            self._future = None
