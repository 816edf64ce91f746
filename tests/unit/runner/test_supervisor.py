"""What stands between `bench` and third-party code, with real processes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

_SUPERVISED = """
import os
import signal
import time

from idbench.limits import Limits, Usage
from idbench.runner.supervisor import adopt_orphans, supervise


class Slow:
    def __init__(self):
        self.pid = os.fork()
        if self.pid == 0:
            os.setpgid(0, 0)
            for _ in range(3):
                os.fork()
            time.sleep(60)
            os._exit(0)

    def wait(self):
        time.sleep(1.5)  # a busy machine: all else has been done before anybody asks how the worker ended
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)


class Blocked(Usage):
    @property
    def looks(self):
        return lambda: time.sleep(60), *super().looks


adopt_orphans()
limits = Limits(memory=1 << 40, disk=1 << 40, processes=2, open_files=1000)
os._exit(supervise(Slow(), USAGE(limits, [])))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the supervised process is forked here")
@pytest.mark.parametrize("usage", ["Usage", "Blocked"])
def test_what_exceeds_a_limit_is_reported_whatever_is_slow(usage: str) -> None:
    """The thread that ends the worker leaves its status to the one that waits; and no look waits for another."""
    with subprocess.Popen(
        [sys.executable, "-c", _SUPERVISED.replace("USAGE", usage)],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as supervisor:
        status = supervisor.wait(60)  # its standard input stays open: it would end everything when that ends
        assert supervisor.stderr is not None
        assert (status, supervisor.stderr.read()) == (122, "")
