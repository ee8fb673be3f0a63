"""The learning rate over the updates of a run."""

import math

import pytest

from mti.schedules import rate
from mti.schema import Training


def test_it_is_constant_unless_told_otherwise():
    assert {rate(Training(), step) for step in range(100)} == {0.005}


def test_it_rises_linearly_while_it_warms_up():
    how = Training(learning_rate=1.0, warmup=4)
    assert [rate(how, step) for step in range(6)] == [0.2, 0.4, 0.6, 0.8, 1.0, 1.0]


def test_a_cosine_falls_to_zero_at_its_horizon_and_stays_there():
    how = Training(learning_rate=2.0, schedule="cosine", warmup=10, horizon=110)
    assert rate(how, 10) == 2.0
    assert rate(how, 60) == pytest.approx(1.0)
    assert rate(how, 35) == pytest.approx(1 + math.cos(math.pi / 4))
    assert rate(how, 110) == rate(how, 500) == 0.0
