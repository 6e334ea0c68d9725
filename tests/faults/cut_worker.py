"""Worker processes that die where they are told to, forked from one that has everything loaded.

Run as `python -m tests.faults.cut_worker`. It reads a JSON line for each worker that is wanted,
forks it, and says by JSON lines which began and which ended. A fork costs a fraction of a start:
what takes a second is importing. A worker is a real one (`workers.main`) but for its harness, which
is the scripted one, and for the hooks of `outgoing`. It ends with its parent, and that with its
stdin.
"""

import faulthandler
import gc
import json
import os
import select
import signal
import socket
import sys
import threading
import traceback
from typing import Any, NoReturn

# What every worker imports, once for all of them.
import workers.main
import workers.network
from cattery.sandboxes.supervisor.processes import die_with_parent
from tests.faults.outgoing import Outgoing, watch_outgoing
from tests.faults.scripted_pods import cluster_type
from tests.scripted_type import SCRIPTED

REGISTRIES = {"local": SCRIPTED, "kubernetes": {"opencode": cluster_type()}}


def main() -> None:
    gc.collect()
    gc.freeze()  # so that collections in a worker do not copy the parent's pages
    woken, waking = os.pipe()
    os.set_blocking(waking, False)
    signal.set_wakeup_fd(waking)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    unread = b""
    while True:
        ready, _, _ = select.select([0, woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            _tell_of_ended()
        if 0 in ready:
            received = os.read(0, 65536)
            if not received:
                return
            *lines, unread = (unread + received).split(b"\n")
            for line in lines:
                _fork(json.loads(line), (woken, waking))


def _tell_of_ended() -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        _tell({"ended": pid, "status": os.waitstatus_to_exitcode(status)})


def _fork(wanted: dict[str, Any], pipes: tuple[int, int]) -> None:
    pid = os.fork()
    if pid == 0:
        for pipe in pipes:
            os.close(pipe)
        _become_worker(wanted)
    _tell({"began": wanted["id"], "pid": pid})


def _tell(said: dict[str, Any]) -> None:
    os.write(1, json.dumps(said).encode() + b"\n")


def _become_worker(wanted: dict[str, Any]) -> NoReturn:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    die_with_parent()
    log = os.open(wanted["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.clear()
    os.environ.update(wanted["env"])
    faulthandler.register(signal.SIGUSR1)
    calls = Outgoing()
    watch_outgoing(calls)
    _take_orders(calls, wanted["control"])
    try:
        workers.main.run(REGISTRIES[wanted["env"]["CATTERY_RUNTIME"]])
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _take_orders(calls: Outgoing, path: str) -> None:
    """Take one order a connection: which calls to count, and at which to die."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen()

    def serve() -> None:
        while True:
            connection, _ = listening.accept()
            with connection, connection.makefile("rwb") as stream:
                order = json.loads(stream.readline())
                calls.arm(order["log"], order["marks"], order["cut"])
                stream.write(b"armed\n")

    threading.Thread(target=serve, daemon=True).start()


if __name__ == "__main__":
    sys.stdout.flush()
    main()
