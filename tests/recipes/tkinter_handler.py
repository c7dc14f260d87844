"""A program with windows: tkinter's main loop watches the node's descriptor and runs its timers.

    python tests/recipes/tkinter_handler.py myapp@localhost
"""

from __future__ import annotations

import math
import sys
import tkinter

from uds_dist import EventLoop, Node


def attach(loop: EventLoop, root: tkinter.Tk) -> None:
    """Run the loop inside tkinter's main loop."""
    timers: list[str] = []

    def turn(*_event: object) -> None:
        loop.run_once()
        while timers:
            root.after_cancel(timers.pop())
        due = loop.next_timeout()
        if due is not None:
            timers.append(root.after(math.ceil(due * 1000), turn))

    root.createfilehandler(loop.fileno(), tkinter.READABLE, turn)
    turn()


def main(peer: str) -> None:
    root = tkinter.Tk()
    label = tkinter.Label(root, text="...")
    label.pack()

    loop = EventLoop()
    node = Node("recipe@localhost", loop=loop)

    def show(message: object) -> None:
        label["text"] = str(message)
        print(f"shown {label['text']}", flush=True)
        root.quit()

    inbox = node.mailbox("recipe", on_message=show)

    def clicked() -> None:
        inbox.send(("echo", peer), (inbox.pid, 42))
        loop.wakeup()  # something was started outside `run_once`: run it now, for new timers

    button = tkinter.Button(root, text="ask", command=clicked)
    button.pack()
    attach(loop, root)
    root.after(1, button.invoke)
    root.mainloop()

    root.deletefilehandler(loop.fileno())
    node.close()
    loop.close()
    root.destroy()


if __name__ == "__main__":
    main(sys.argv[1])
