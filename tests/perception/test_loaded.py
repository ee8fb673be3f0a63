import time

from mti.clock import timed
from mti.perception.loaded import LoadedOnce


class Slow(LoadedOnce[str]):
    """Takes 40 seconds to load, and one to look."""

    def __init__(self, now):
        self.now = now

    def load(self):
        self.now[0] += 40
        return "weights"

    def look(self):
        assert self.loaded == "weights"
        self.now[0] += 1
        return "a cup"


def test_the_reading_of_weights_is_nobodys_time(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    model = Slow(now)
    assert [timed(model.look), timed(model.look)] == [("a cup", 1), ("a cup", 1)]
    model.release()
    assert timed(model.look) == ("a cup", 1)
    assert now[0] == 40 + 1 + 1 + 40 + 1
