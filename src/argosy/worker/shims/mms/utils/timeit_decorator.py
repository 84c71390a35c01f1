"""`mms.utils.timeit_decorator` of the old server."""

import functools
import sys
import time
from typing import Any, Callable


def timeit(func: Callable[..., Any]) -> Callable[..., Any]:
    """Print how long each call of a function takes, in seconds of the clock and of the processor."""

    @functools.wraps(func)
    def measured(*args: Any, **kwargs: Any) -> Any:
        clock, processor = time.perf_counter(), time.process_time()
        result = func(*args, **kwargs)
        spent = time.perf_counter() - clock, time.process_time() - processor
        sys.stdout.write("func: {!r} took a total of {:2.4f} sec to run and {:2.4f} sec of CPU time\n".format(func.__name__, *spent))
        return result

    return measured
