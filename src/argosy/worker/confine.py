"""Takes from a process what a worker may not have, then becomes the worker's interpreter: nothing of the model has run before.

Usage: <interpreter> -I -S <this file> <what, as JSON> <program> <arguments>
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import sys
from typing import Any, Dict, List

REFUSED = 126
_PR_SET_NO_NEW_PRIVS = 38
LIMITS = {
    # not RLIMIT_AS: address space that is reserved but never used, as frameworks and GPU drivers do, costs nothing
    "memory_bytes": resource.RLIMIT_DATA,
    "cpu_s": resource.RLIMIT_CPU,
    "processes": resource.RLIMIT_NPROC,
    "open_files": resource.RLIMIT_NOFILE,
    "file_bytes": resource.RLIMIT_FSIZE,
    "core_bytes": resource.RLIMIT_CORE,
}


def confine(what: Dict[str, Any]) -> None:
    """Set the limits, become the user. Raises OSError or ValueError when that is not possible."""
    for name, wanted in what["limits"].items():
        hard = resource.getrlimit(LIMITS[name])[1]
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(LIMITS[name], (value, value))
    user = what.get("user")
    if user is not None:
        for stream in (1, 2):
            os.fchown(stream, user["uid"], user["gid"])  # so that /dev/stdout can be opened
        os.setgroups(user["groups"])
        os.setresgid(user["gid"], user["gid"], user["gid"])
        os.setresuid(user["uid"], user["uid"], user["uid"])
    if not what["new_privileges"]:
        library = ctypes.CDLL(None, use_errno=True)
        if library.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "PR_SET_NO_NEW_PRIVS")


def main(argv: List[str]) -> int:
    """Confine this process and become the program; returns only when that is refused."""
    try:
        confine(json.loads(argv[0]))
        os.execvp(argv[1], argv[1:])  # noqa: S606 - no shell, and the program is the interpreter that the server has chosen
    except (OSError, ValueError) as error:
        sys.stderr.write("this worker cannot be confined as configured: {}\n".format(error))
    return REFUSED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
