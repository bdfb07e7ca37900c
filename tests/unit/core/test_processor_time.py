"""A step that takes too much processor time ends; one that waits, and the one after it, do not."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from dualtrack.core import processor_time


def work(seconds: float) -> None:
    begin = time.process_time()
    while time.process_time() - begin < seconds:
        pass


def test_a_step_ends_that_takes_too_long() -> None:
    said = r"more than 0\.05 s of processor time"
    with pytest.raises(processor_time.TooLong, match=said), processor_time.at_most(0.05):
        work(60)
    assert signal.getsignal(signal.SIGPROF) == signal.SIG_DFL
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)


def test_waiting_costs_nothing_and_the_limit_ends_with_the_step() -> None:
    with processor_time.at_most(0.2):
        time.sleep(0.3)
    work(0.3)


@pytest.mark.parametrize("taken_back", [False, True])
def test_a_process_ends_in_the_middle_of_a_call_in_c(taken_back: bool) -> None:
    program = f"""
from dualtrack.core.processor_time import end_after
end_after(0.05)
{"end_after(0)" if taken_back else ""}
pow(3, 1 << 21)
"""
    done = subprocess.run([sys.executable, "-c", program], check=False, timeout=120)
    assert done.returncode == (0 if taken_back else -signal.SIGPROF)
