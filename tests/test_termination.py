"""Workers end with whom they work for."""

import signal
import subprocess
import sys

import pytest

from mti.termination import Terminated, Termination

WORKER = """
import time
from mti.termination import end_with_parent
end_with_parent({})
print("watching", flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of any process that it has ended")
def test_a_worker_ends_when_the_process_that_it_works_for_is_killed_though_others_stand_between():
    """The killed process is a zombie then, as nobody has asked for its end yet."""
    boss = subprocess.Popen(["sleep", "60"])
    worker = subprocess.Popen([sys.executable, "-c", WORKER.format(boss.pid)], stdout=subprocess.PIPE)
    try:
        assert worker.stdout.readline() == b"watching\n"
        boss.kill()
        assert worker.wait(30) == -signal.SIGTERM
    finally:
        boss.wait()
        worker.kill()
        worker.stdout.close()


def test_a_signal_while_training_is_only_noted_and_a_second_ends_it_at_once():
    def train(signals: int) -> None:
        termination = Termination()
        with termination.handled(), termination.deferred():
            signal.raise_signal(signal.SIGTERM)
            told.append(termination.requested)
            for _ in range(signals - 1):
                signal.raise_signal(signal.SIGTERM)
            told.append("trained on")

    for signals, expected in ((1, [signal.SIGTERM, "trained on"]), (2, [signal.SIGTERM])):
        told = []
        with pytest.raises(Terminated) as stopped:
            train(signals)
        assert stopped.value.exit_code == 143
        assert told == expected


def test_handlers_are_given_back():
    before = signal.getsignal(signal.SIGTERM)
    with Termination().handled():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before
