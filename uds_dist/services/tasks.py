"""Elixir's Task.Supervisor in Python: its tasks run exposed functions.

``Task.Supervisor.async({name, node}, module, function, arguments)`` asks the supervisor for a
process, monitors or links it, and then sends it the call. The result goes to the alias in that
message; a task that fails exits with the reason, like an Elixir task.
"""

from __future__ import annotations

import logging
from functools import partial

from uds_dist.errors import TermError
from uds_dist.etf.shown import shown
from uds_dist.etf.terms import Atom, Pid, Reference
from uds_dist.processes.future import Future
from uds_dist.processes.names import ERROR, NORMAL, OK, SHUTDOWN, is_atom
from uds_dist.processes.process import Process
from uds_dist.processes.table import Processes
from uds_dist.services.exposed import Exposed
from uds_dist.services.gen import From, answer_to, is_large
from uds_dist.services.gen_server import GenServer
from uds_dist.services.outcome import Outcome, encoding_error, outcome_of, raised
from uds_dist.services.server import is_abnormal
from uds_dist.transport.timers import Timer

# Seconds that a new task waits for its call, as in Elixir.
START_TIMEOUT = 5.0
TEMPORARY = Atom("temporary")
TASK_MODULES = [Atom("Elixir.Task.Supervised")]


class TaskSupervisor(GenServer):
    """Answers Task.Supervisor's requests; run it with `Node.serve_tasks`.

    Args:
        exposed: the functions that tasks can run.
    """

    _plain = True

    def __init__(self, exposed: Exposed) -> None:
        self.exposed = exposed
        self._tasks: dict[Pid, Task] = {}

    def handle_call(self, request: object, from_: From) -> object:
        """Answer start_task, which_children, count_children and terminate_child."""
        match request:
            case (Atom("start_task"), [(_, _, Pid() as owner), _], restart, _):
                return self._start(owner, restart, None)
            case (Atom("start_task"), [(_, _, Pid() as owner), _, mfa], restart, _):
                return self._start(owner, restart, mfa)
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
        return super().handle_call(request, from_)

    def terminate(self, reason: object) -> object:
        """End the tasks too."""
        for task in tuple(self._tasks.values()):
            task.end(SHUTDOWN)
        return None

    def get_state(self) -> object:
        """The pids of the tasks."""
        return list(self._tasks)

    def _start(self, owner: Pid, restart: object, mfa: object) -> object:
        if restart is not None and not is_atom(restart, TEMPORARY):
            return (ERROR, (Atom("not_supported"), (Atom("restart"), restart)))
        processes = self._running().processes
        # All tasks together: a request may name an owner on any node.
        if len(self._tasks) >= processes.max_pending_requests:
            return (ERROR, Atom("max_children"))
        task = Task(self, processes, owner, mfa)
        return (OK, task.process.pid)

    def log_end(self, pid: Pid, reason: object) -> None:
        """Log a failed task."""
        self._running().log.log(
            logging.ERROR, "a failed task", "the task %s has ended: %s", pid, shown(reason)
        )

    def forget(self, task: Task) -> bool:
        """Remove a task from the table; False if it was removed before."""
        return self._tasks.pop(task.process.pid, None) is not None


class Task:
    """One task: a process that receives a function, runs it, and ends."""

    def __init__(
        self,
        supervisor: TaskSupervisor,
        processes: Processes,
        owner: Pid,
        mfa: object,
    ) -> None:
        self._supervisor = supervisor
        self._exposed = supervisor.exposed
        self._processes = processes
        self.owner = owner
        self._timer: Timer | None = None
        self._watch: Reference | None = None
        self._future: Future[object] | None = None
        self.process: Process = processes.new_process(on_message=self._on_message)
        self.process.on_exit = self._ended
        supervisor._tasks[self.process.pid] = self
        if mfa is not None:
            self.process.loop.call_soon(lambda: self._run(None, None, mfa))
        else:
            # Even if the owner is going to link itself to the task: it may end before that.
            self._watch = self._processes.monitor(self.process, owner)
            self._timer = self.process.loop.call_later(START_TIMEOUT, self._too_late)

    def _on_message(self, message: object) -> None:
        match message:
            case (Pid() as owner, ref, (Pid() | Reference()) as reply_to, _callers, mfa) if (
                owner == self.owner and self._future is None and not is_large(ref)
            ):
                self._stop_waiting()
                self._run(ref, reply_to, mfa)
            case (Atom("DOWN"), Reference() as ref, _, _, reason) if ref == self._watch:
                self.end((SHUTDOWN, reason))

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._watch is not None and self.process.alive:
            self._processes.demonitor(self.process, self._watch, flush=True)

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
            self._finish(ref, reply_to, raised(error, self._exposed.default))
            raise
        if isinstance(outcome, Outcome):
            self._finish(ref, reply_to, outcome)
            return
        self._future = outcome

        def done(future: Future[object]) -> None:
            if self._future is not future or not self.process.alive:
                return
            node = self.owner.node if reply_to is None else reply_to.node
            again = partial(done, future)
            if not self._processes.pressure.wait_for_room(node, again):
                self._finish(ref, reply_to, outcome_of(future, self._exposed.default))

        self._done = done
        outcome.add_done_callback(done)

    def _finish(self, ref: object, reply_to: Pid | Reference | None, outcome: Outcome) -> None:
        if outcome.class_ == "return" and reply_to is not None:
            try:
                answer_to(self._processes, self.process.pid, reply_to, (ref, outcome.value))
            except (TermError, RecursionError) as error:
                outcome = raised(error, self._exposed.default)
        reason = outcome.exit_reason
        if is_abnormal(reason):
            self._supervisor.log_end(self.process.pid, reason)
        self.end(reason)

    def end(self, reason: object = NORMAL) -> None:
        """End the task."""
        default = self._exposed.default
        unsendable = encoding_error(reason, default)
        if unsendable is not None:
            reason = raised(unsendable, default).exit_reason
        self._processes.terminate(self.process, reason)
        self._ended(reason)

    def _ended(self, _reason: object) -> None:
        if not self._supervisor.forget(self):
            return
        self._stop_waiting()
        if self._future is not None:
            self._future.remove_done_callback(self._done)
            self._future = None
