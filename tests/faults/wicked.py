"""A handler that misbehaves as the body of a request says: a verb, and an argument behind a colon."""

import ctypes
import mmap
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any


def begun(text: str) -> None:
    path = os.environ.get("BEGUN_FILE")
    if path:
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, text.encode() + b"\n")
        os.close(file)


def fail(text: str) -> str:
    raise ValueError(text)


def spin(_: str) -> str:
    while True:
        pass


def defy(_: str) -> str:
    """Loop without end, deaf to signals that can be ignored."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    return spin("")


def stay(_: str) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    time.sleep(600)
    os._exit(0)


def forks(count: str) -> str:
    """Leave children that ignore signals, half of them in sessions of their own."""
    for number in range(int(count)):
        if os.fork() == 0:
            if number % 2:
                os.setsid()
            stay("")
    return "forked"


def leave(count: str) -> str:
    """Leave orphans that end."""
    for _ in range(int(count)):
        child = os.fork()
        if child == 0:
            if os.fork() == 0:
                time.sleep(0.05)
            os._exit(0)
        os.waitpid(child, 0)
    return "left"


WORKER = os.getpid()


def bomb(generations: str) -> str:
    """Double the processes so many times. Where that is not allowed, go on with those that there are."""
    for _ in range(int(generations)):
        try:
            os.fork()
        except OSError:
            break
    if os.getpid() != WORKER:
        stay("")
    return "bombed"


def close_output(_: str) -> str:
    """Close both streams and their descriptors; what is opened later gets the numbers, so only the first time."""
    if not sys.stdout.closed:
        for stream in (sys.stdout, sys.stderr):
            stream.close()
        for number in (1, 2):
            os.close(number)
    return "closed"


def mute(_: str) -> str:
    """What goes wrong cannot be written to standard error any more."""
    close_output("")
    raise ValueError("nobody hears it")


def flood(size: str) -> str:
    """So many bytes in lines, the same in one piece, as fast as they are taken."""
    line = b"flood " * 16 + b"\n"
    for piece in (line * 100, b"x" * 10_000):
        for _ in range(int(size) // len(piece)):
            os.write(1, piece)
    return "flooded"


def garbage(_: str) -> str:
    for number in (1, 2):
        os.write(number, os.urandom(20_000) + b"\x00\r\n\x1b[2J" + b"\xff" * 100)
    return "written"


def junk(_: str) -> str:
    """Write nonsense to everything that was inherited, the link to the server included."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            try:
                os.set_blocking(int(name), False)
                os.write(int(name), b"\xff" * 65536)
            except OSError:
                continue
    return "written"


def swallow(megabytes: str) -> str:
    """Take memory and touch it, page by page."""
    taken = mmap.mmap(-1, int(megabytes) << 20)
    for offset in range(0, len(taken), mmap.PAGESIZE):
        taken[offset] = 1
    return "taken"


def limited(megabytes: str) -> str:
    """Ask for more memory than a limit of the process allows."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, before[1]))
    try:
        return str(len(bytearray(int(megabytes) << 20)))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def sleep(text: str) -> str:
    """`sleep:TOKEN:…` takes the time that the environment says."""
    time.sleep(float(os.environ.get("SLEEP_S", "0.01")))
    return text


def nap(seconds: str) -> str:
    time.sleep(float(seconds))
    return "rested"


VERBS: dict[str, Callable[[str], Any]] = {
    "echo": lambda text: text, "pid": lambda _: str(os.getpid()), "exit": lambda status: os._exit(int(status)),
    "segfault": lambda _: ctypes.string_at(0), "sysexit": lambda status: sys.exit(int(status)),
    "abort": lambda _: os.abort(), "error": fail, "memory": swallow, "limited": limited,
    "spin": spin, "defy": defy, "stopped": lambda _: os.kill(os.getpid(), signal.SIGSTOP), "forks": forks, "leave": leave, "bomb": bomb,
    "close": close_output, "mute": mute, "flood": flood, "garbage": garbage, "junk": junk, "none": lambda _: None, "object": lambda _: object(),
    "large": lambda size: b"z" * int(size), "sleep": sleep, "nap": nap,
}  # fmt: skip


def handle(data: Any, context: Any) -> Any:
    if data is None:
        return None
    results = []
    for item in data:
        body = item.get("body", item.get("data", b""))
        text = body if isinstance(body, str) else bytes(body).decode()
        begun(text[:80])
        verb, _, argument = text.partition(":")
        if verb == "few":
            return []
        if verb == "notalist":
            return 7
        if verb == "many":
            results += ["more", "and more"]
            verb = "echo"
        results.append(VERBS[verb](argument))
    return results
