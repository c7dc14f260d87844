"""A pre-fork server: the master is a node, and so is each worker; none uses an inherited node.

    python tests/recipes/prefork_server.py myapp@localhost 4     four workers; SIGTERM ends all
"""

from __future__ import annotations

import os
import signal
import socket
import sys

from uds_dist import EventLoop, Future, Node
from uds_dist.transport.loop import READ


def work(number: int, service: socket.socket, peer: str) -> None:
    """Run a worker: it answers each client with the peer's reply."""
    loop = EventLoop()
    node = Node(f"worker{number}@localhost", loop=loop)

    def on_client(_events: int) -> None:
        try:
            client = service.accept()[0]
        except BlockingIOError:
            return  # another worker was faster
        question = client.recv(1000)  # a silent client would block the worker

        def answer(future: Future[object]) -> None:
            client.sendall(b"%s from worker %d\n" % (str(future.result()).encode(), number))
            client.close()

        node.call(("server", peer), question).add_done_callback(answer)

    signal.signal(signal.SIGTERM, lambda _number, _frame: loop.stop())
    loop.register(service, READ, on_client)
    node.connect(peer).result(timeout=5)
    loop.run_forever()
    node.close()
    loop.close()


def main(peer: str, workers: int) -> None:
    loop = EventLoop()
    node = Node("master@localhost", loop=loop)
    node.listen()
    node.connect(peer).result(timeout=5)
    service = socket.create_server(("127.0.0.1", 0))
    service.setblocking(False)

    children = []
    for number in range(workers):
        child = os.fork()
        if not child:
            node.close()  # in a child this closes descriptors, and sends nothing to the peer
            loop.close()
            work(number, service, peer)
            os._exit(0)
        children.append(child)

    signal.signal(signal.SIGTERM, lambda _number, _frame: loop.stop())
    print(f"port {service.getsockname()[1]}", flush=True)
    service.close()
    loop.run_forever()
    for child in children:
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)
    node.close()
    loop.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
