"""Work that is killed at any moment: in a process of its own, forked from the test's, so that all is loaded already."""

from __future__ import annotations

import contextlib
import os
import signal
import time
import traceback
from collections.abc import Callable


def killed(work: Callable[[], object], seconds: float) -> bool:
    """Do some work, and kill it and what it started after some seconds; tell whether it had not ended.

    Fails where the work ends on its own with an error.
    """
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        try:
            work()
        except BaseException:  # whatever it is: the test itself continues in the parent alone
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    with contextlib.suppress(PermissionError, ProcessLookupError):  # whoever of the two comes first
        os.setpgid(child, child)
    time.sleep(seconds)  # at any moment: nothing is waited for
    ended, status = os.waitpid(child, os.WNOHANG)
    if ended:
        assert status == 0, "the work failed: its traceback is above"
        return False
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True
