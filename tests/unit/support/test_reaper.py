"""What a test run leaves behind when it is killed: nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests.support import reaper
from tests.support.checkout import TOP

RUN = """
import os, signal, subprocess, sys
from tests.support import reaper
reaper.watch()
pipe = int(sys.argv[1])
for session in (False, True):
    subprocess.Popen(["sleep", "1000"], pass_fds=[pipe], start_new_session=session)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.timeout(30)
def test_a_killed_run_leaves_no_process() -> None:
    read, write = os.pipe()
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(write)], cwd=TOP, pass_fds=[write], capture_output=True, check=False
    )
    os.close(write)
    assert done.returncode == -signal.SIGKILL, done.stderr
    with os.fdopen(read) as pipe:
        assert pipe.read() == "", "it ends with the last process that holds it"


def test_only_processes_of_this_run_carry_its_mark() -> None:
    with subprocess.Popen(["sleep", "1000"]) as process:
        try:
            found = {marked.pid for marked in reaper.marked(reaper.watch())}
            assert process.pid in found
            assert not found & {os.getpid(), os.getppid()}
        finally:
            process.kill()
