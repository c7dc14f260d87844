"""How a node handles each control message, from a peer or from a process here.

Every request gets its answer: a link to a missing process the exit signal ``noproc``, a monitor of
one the notice ``noproc``, an unlink its acknowledgement, a spawn request its reply. Without it, a
caller on a BEAM would wait forever. Messages to missing processes are dropped.

A peer may speak only for its own processes. A signal in the name of a process of another node ends
the connection, as it does on a BEAM; a notice or a spawn reply that another node was asked for is
dropped. So are signals about processes of an earlier incarnation of this node.

The trace tokens of seq_trace are read and ignored: this node does not trace.

Source: Distribution Protocol, section "Protocol between Connected Nodes"; erts/emulator/beam/dist.c
of OTP 27 for what is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

from uds_dist.config import Config
from uds_dist.errors import ClosedError, RemoteProtocolError, UdsDistError
from uds_dist.etf.shown import printable
from uds_dist.etf.terms import ImproperList, Pid, Reference
from uds_dist.processes.dialect import UNUSED
from uds_dist.processes.falling import Falling
from uds_dist.processes.names import (
    ALIAS,
    GEN_CALL,
    IS_AUTH,
    KILL,
    KILLED,
    NET_KERNEL,
    NOPROC,
    NORMAL,
    NOTSUP,
    is_atom,
)
from uds_dist.processes.pending import PendingCall
from uds_dist.processes.process import SMALL_MESSAGE, Process
from uds_dist.processes.router import Router
from uds_dist.processes.table import Processes
from uds_dist.protocol import control as ctl
from uds_dist.protocol.control import NO_PAYLOAD, AltactFlag, ControlMessage
from uds_dist.protocol.parse import parse
from uds_dist.transport.loop import EventLoop

_EXIT = AltactFlag.EXIT
_PRIO = AltactFlag.PRIO


class Spawner(Protocol):
    """Starts processes for other nodes."""

    def on_spawn(
        self, node: str, request: ctl.SpawnRequest | ctl.SpawnRequestTt, arguments: object
    ) -> None:
        """Answer a spawn request, and start its process."""


class Incoming:
    """The receiving side of a process table, which it creates: handles the signals of peers.

    Args:
        loop: runs what must wait for the next round.
        config: the limits.
        name: the node's name.
        creation: the node's creation.
        router: sends signals to other nodes.
        spawner: makes the handler of spawn requests for a process table; without it they are
            refused.
    """

    def __init__(
        self,
        loop: EventLoop,
        config: Config,
        name: str,
        creation: int,
        router: Router,
        spawner: Callable[[Processes], Spawner] | None = None,
    ) -> None:
        self._loop = loop
        self.processes = Processes(loop, config, name, creation, router, self)
        self._falling = Falling(self.processes, self._break_link)
        self._pressure = router.pressure
        self._on_spawn = self._refuse_spawn if spawner is None else spawner(self.processes).on_spawn
        self._handlers: dict[type, Callable[[str, Any, object], None]] = {
            ctl.Send: self._on_send,
            ctl.SendTt: self._on_send,
            ctl.SendSender: self._on_send,
            ctl.SendSenderTt: self._on_send,
            ctl.RegSend: self._on_reg_send,
            ctl.RegSendTt: self._on_reg_send,
            ctl.AliasSend: self._on_alias_send,
            ctl.AliasSendTt: self._on_alias_send,
            ctl.AltactSigSend: self._on_altact,
            ctl.AltactSigSendTt: self._on_altact,
            ctl.Link: self._on_link,
            ctl.Unlink: self._on_unlink,
            ctl.UnlinkId: self._on_unlink_id,
            ctl.UnlinkIdAck: self._on_unlink_ack,
            ctl.Exit: self._on_exit,
            ctl.ExitTt: self._on_exit,
            ctl.PayloadExit: self._on_payload_exit,
            ctl.PayloadExitTt: self._on_payload_exit,
            ctl.Exit2: self._on_exit2,
            ctl.Exit2Tt: self._on_exit2,
            ctl.PayloadExit2: self._on_payload_exit2,
            ctl.PayloadExit2Tt: self._on_payload_exit2,
            ctl.MonitorP: self._on_monitor,
            ctl.DemonitorP: self._on_demonitor,
            ctl.MonitorPExit: self._on_monitor_exit,
            ctl.PayloadMonitorPExit: self._on_payload_monitor_exit,
            ctl.GroupLeader: self._on_group_leader,
            ctl.SpawnRequest: self._on_spawn_request,
            ctl.SpawnRequestTt: self._on_spawn_request,
            ctl.SpawnReply: self._on_spawn_reply,
            ctl.SpawnReplyTt: self._on_spawn_reply,
            ctl.NodeLink: self._on_node_link,
        }

    def received(self, node: str, control: tuple[object, ...], payload: object) -> None:
        """Act on a control message of a peer.

        Args:
            node: the peer.
            control: the tuple, as it was sent.
            payload: the term that came with it, or NO_PAYLOAD.
        Raises:
            RemoteProtocolError: it is not a control message.
        """
        message = parse(control, payload is not NO_PAYLOAD)
        self._handlers[type(message)](node, message, payload)

    def handle(self, node: str, control: ControlMessage, payload: object) -> None:
        """Act on a control message of any node, this one included."""
        self._handlers[type(control)](node, control, payload)

    def node_down(self, node: str, error: UdsDistError) -> None:
        """Fire the links and monitors with a node: there is no connection to it any more."""
        self._falling.node_down(node, error)

    def close(self) -> None:
        """End every process with reason `shutdown`, and every call between two of them."""
        self.processes.close()
        name = self.processes.name
        self.node_down(name, ClosedError(f"the node {name} is closed"))

    def node_silent(self, node: str) -> None:
        """Provoke an answer: any byte of it shows that the node lives, so nobody awaits it."""
        processes = self.processes
        tag = ImproperList((ALIAS,), processes.numbers.new_reference())
        message = (GEN_CALL, (processes.own, tag), (IS_AUTH, processes.name))
        processes.signal(node, (ctl.REG_SEND, processes.own, UNUSED, NET_KERNEL), message)

    def is_answer(self, control: tuple[object, ...]) -> bool:
        """Tell whether a control message of a peer is the answer to a call of this node."""
        processes = self.processes
        op = control[0] if control else None
        if op in (ctl.ALIAS_SEND, ctl.ALIAS_SEND_TT) and len(control) > 2:
            return _is_known(control[2], processes.aliases)
        if op == ctl.ALTACT_SIG_SEND and len(control) > 3:
            return _is_known(control[3], processes.aliases)
        if op == ctl.SPAWN_REPLY and len(control) > 1:
            return _is_known(control[1], processes.spawns)
        if op in (ctl.PAYLOAD_MONITOR_P_EXIT, ctl.MONITOR_P_EXIT) and len(control) > 3:
            ref = control[3]
            if not isinstance(ref, Reference):
                return False
            # The monitor of a call; that of a mailbox is a message to it.
            monitor = processes.monitors.get(ref)
            return ref in processes.aliases or isinstance(monitor, PendingCall)
        return False

    def _check_sender(self, node: str, sender: Pid) -> None:
        """Refuse a signal in the name of a process of another node than the sender."""
        if sender.node != node:
            raise RemoteProtocolError(
                f"{node} sent a signal in the name of {printable(str(sender))}, a process of"
                " another node"
            )

    def _check_ties(self, node: str) -> None:
        """End the connection to a peer that has set up more links and monitors than it may."""
        processes = self.processes
        ties = processes.ties_with(node)
        held = len(ties.links) + len(ties.watchers)
        if held > processes.max_links_and_monitors and node != processes.name:
            raise RemoteProtocolError(
                f"{node} holds {held} links to processes of this node and monitors of them, but"
                f" max_links_and_monitors is {processes.max_links_and_monitors}"
            )

    # -- messages --------------------------------------------------------------------------

    def _deliver(self, node: str, process: Process, message: object) -> None:
        processes = self.processes
        if node == processes.name:
            process.deliver(message if process.convert is None else process.convert(message))
            return
        if process.adapt is not None:
            message = process.adapt(node, message)
        if process.deliver_now(message):
            decoder = self._pressure.decoder
            # For a small message in a mailbox of small ones that is not full, this is all.
            if (
                decoder is None
                or decoder.message_size > SMALL_MESSAGE
                or len(process.queue) >= processes.max_small_messages
                or process.weight
                or process.prior is not None
            ):
                processes.waits(process, message)

    def _on_send(
        self,
        node: str,
        control: ctl.Send | ctl.SendTt | ctl.SendSender | ctl.SendSenderTt,
        payload: object,
    ) -> None:
        pid = control.to_pid
        process = self.processes.by_pid.get(pid._words)
        if process is not None and pid._node == self.processes.name:
            self._deliver(node, process, payload)

    def _on_reg_send(
        self, node: str, control: ctl.RegSend | ctl.RegSendTt, payload: object
    ) -> None:
        process = self.processes.by_name.get(control.to_name)
        if process is not None:
            self._deliver(node, process, payload)

    def _on_alias_send(
        self, node: str, control: ctl.AliasSend | ctl.AliasSendTt, payload: object
    ) -> None:
        self._to_alias(node, control.alias, payload, False)

    def _to_alias(self, node: str, alias: Reference, message: object, priority: bool) -> None:
        receiver = self.processes.aliases.get(alias)
        if receiver is not None:
            receiver.on_message(message)
            return
        entry = self.processes.mailbox_aliases.get(alias)
        if entry is None:
            return
        process, has_priority = entry
        if priority and has_priority:
            if process.convert is not None:
                message = process.convert(message)
            process.deliver(message, priority=True)
        else:
            self._deliver(node, process, message)

    def _on_altact(
        self, node: str, control: ctl.AltactSigSend | ctl.AltactSigSendTt, payload: object
    ) -> None:
        dest = control.to
        priority = bool(control.flags & _PRIO)
        if control.flags & _EXIT:
            self._check_sender(node, control.from_pid)
            if isinstance(dest, Reference):
                entry = self.processes.mailbox_aliases.get(dest)
                if entry is not None:
                    process, has_priority = entry
                    prior = priority and has_priority
                    self._exit_process(process, control.from_pid, payload, prior)
            else:
                named = self.processes.find(dest)
                if named is not None:
                    self._exit_process(named, control.from_pid, payload)
        elif isinstance(dest, Reference):
            self._to_alias(node, dest, payload, priority)
        else:
            found = self.processes.find(dest)
            if found is not None:
                self._deliver(node, found, payload)

    # -- links -----------------------------------------------------------------------------

    def _on_link(self, node: str, control: ctl.Link, payload: object) -> None:
        self._check_sender(node, control.from_pid)
        process = self.processes.process_of(control.to_pid)
        if process is None:
            nobody = (ctl.PAYLOAD_EXIT, control.to_pid, control.from_pid)
            self.processes.signal(node, nobody, NOPROC)
        else:
            self.processes.add_link(process, control.from_pid)
            self._check_ties(node)

    def _on_unlink(self, node: str, control: ctl.Unlink | ctl.UnlinkId, payload: object) -> None:
        self._check_sender(node, control.from_pid)
        process = self.processes.process_of(control.to_pid)
        if process is not None:
            process.links.received_unlink(control.from_pid)
            self._drop_tie_if_gone(process, control.from_pid)

    def _on_unlink_id(self, node: str, control: ctl.UnlinkId, payload: object) -> None:
        self._on_unlink(node, control, payload)
        ack = (ctl.UNLINK_ID_ACK, control.id, control.to_pid, control.from_pid)
        self.processes.signal(node, ack)

    def _on_unlink_ack(self, node: str, control: ctl.UnlinkIdAck, payload: object) -> None:
        self._check_sender(node, control.from_pid)
        process = self.processes.process_of(control.to_pid)
        if process is not None:
            process.links.received_ack(control.from_pid, control.id)
            self._drop_tie_if_gone(process, control.from_pid)

    def _drop_tie_if_gone(self, process: Process, pid: Pid) -> None:
        if not process.links.known(pid):
            self.processes.drop_link_tie(process, pid)

    def _on_exit(self, node: str, control: ctl.Exit | ctl.ExitTt, payload: object) -> None:
        self._link_broke(node, control.from_pid, control.to_pid, control.reason)

    def _on_payload_exit(
        self, node: str, control: ctl.PayloadExit | ctl.PayloadExitTt, payload: object
    ) -> None:
        self._link_broke(node, control.from_pid, control.to_pid, payload)

    def _link_broke(self, node: str, from_pid: Pid, to_pid: Pid, reason: object) -> None:
        self._check_sender(node, from_pid)
        process = self.processes.process_of(to_pid)
        if process is not None:
            self._break_link(process, from_pid, reason)

    def _break_link(self, process: Process, pid: Pid, reason: object) -> None:
        """Let a process react to the exit signal of a link, if it is linked."""
        trapped = process.trap_exit and pid in process.links
        if trapped:
            process.deliver_exit(pid, reason, False)
        active = process.links.received_exit(pid)
        self.processes.drop_link_tie(process, pid)
        if active and not trapped and not process.system and not is_atom(reason, NORMAL):
            self.processes.terminate(process, reason)

    # -- exit signals that were sent -------------------------------------------------------

    def _on_exit2(self, node: str, control: ctl.Exit2 | ctl.Exit2Tt, payload: object) -> None:
        self._exit2(node, control.from_pid, control.to_pid, control.reason)

    def _on_payload_exit2(
        self, node: str, control: ctl.PayloadExit2 | ctl.PayloadExit2Tt, payload: object
    ) -> None:
        self._exit2(node, control.from_pid, control.to_pid, payload)

    def _exit2(self, node: str, from_pid: Pid, to_pid: Pid, reason: object) -> None:
        self._check_sender(node, from_pid)
        process = self.processes.process_of(to_pid)
        if process is not None:
            self._exit_process(process, from_pid, reason)

    def _exit_process(
        self, process: Process, sender: Pid, reason: object, priority: bool = False
    ) -> None:
        """Let a process react to an exit signal that was sent with ``exit/2``."""
        if process.system:
            return
        if is_atom(reason, KILL):
            self.processes.terminate(process, KILLED)
        elif process.trap_exit:
            process.deliver_exit(sender, reason, priority)
        elif not is_atom(reason, NORMAL) or sender == process.pid:
            self.processes.terminate(process, reason)

    # -- monitors --------------------------------------------------------------------------

    def _on_monitor(self, node: str, control: ctl.MonitorP, payload: object) -> None:
        self._check_sender(node, control.from_pid)
        if control.ref.node != node:
            raise RemoteProtocolError(f"{node} sent a monitor with a reference of another node")
        process = self.processes.find(control.to_proc)
        if process is None:
            self.processes.send_down(control.from_pid, control.to_proc, control.ref, NOPROC)
        else:
            self.processes.note_watcher(process, control.from_pid, control.to_proc, control.ref)
            self._check_ties(node)

    def _on_demonitor(self, node: str, control: ctl.DemonitorP, payload: object) -> None:
        self._check_sender(node, control.from_pid)
        process = self.processes.find(control.to_proc)
        entry = None if process is None else process.watchers.get(control.ref)
        if process is not None and entry is not None and entry[0] == control.from_pid:
            self.processes.drop_watcher(process, control.ref)
            if process.on_unwatched is not None:
                process.on_unwatched(control.ref)

    def _on_monitor_exit(self, node: str, control: ctl.MonitorPExit, payload: object) -> None:
        self._down(node, control.ref, control.reason)

    def _on_payload_monitor_exit(
        self, node: str, control: ctl.PayloadMonitorPExit, payload: object
    ) -> None:
        self._down(node, control.ref, payload)

    def _down(self, node: str, ref: Reference, reason: object) -> None:
        monitor = self.processes.monitors.get(ref)
        if monitor is not None and monitor.node == node:
            self.processes.forget_monitor(ref)
            monitor.on_down(reason)

    # -- the rest --------------------------------------------------------------------------

    def _on_group_leader(self, node: str, control: ctl.GroupLeader, payload: object) -> None:
        process = self.processes.process_of(control.to_pid)
        if process is not None and not process.system:
            process.group_leader = control.from_pid

    def _on_spawn_request(
        self, node: str, control: ctl.SpawnRequest | ctl.SpawnRequestTt, payload: object
    ) -> None:
        self._check_sender(node, control.from_pid)
        if control.req_id.node != node:
            raise RemoteProtocolError(f"{node} sent a spawn request of another node")
        on_spawn = self._on_spawn
        if node == self.processes.name:
            # It starts user code, and the caller may be anywhere.
            self._loop.call_soon(partial(on_spawn, node, control, payload))
        else:
            on_spawn(node, control, payload)
            self._check_ties(node)

    def _refuse_spawn(
        self, node: str, control: ctl.SpawnRequest | ctl.SpawnRequestTt, payload: object
    ) -> None:
        refusal = (ctl.SPAWN_REPLY, control.req_id, control.from_pid, 0, NOTSUP)
        self.processes.signal(node, refusal)

    def _on_spawn_reply(
        self, node: str, control: ctl.SpawnReply | ctl.SpawnReplyTt, payload: object
    ) -> None:
        request, result = control.req_id, control.result
        spawn = self.processes.spawns.get(request)
        if spawn is None or spawn.node != node:
            return
        if isinstance(result, Pid):
            self._check_sender(node, result)
        spawn.on_reply(control)
        self.processes.take_spawn(request)  # afterwards: an exception may come between

    def _on_node_link(self, node: str, control: ctl.NodeLink, payload: object) -> None:
        """Obsolete, and without effect in every node that ever knew it."""


def _is_known(ref: object, known: Mapping[Reference, object]) -> bool:
    return isinstance(ref, Reference) and ref in known
