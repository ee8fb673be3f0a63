"""A sample of the campaign of bad and odd inputs."""

from __future__ import annotations

import multiprocessing

import pytest

if "forkserver" not in multiprocessing.get_all_start_methods():
    pytest.skip("needs processes that are forked", allow_module_level=True)

from faults.inputs import faults_of, inputs, prepared

INPUTS = inputs()
SAMPLE = INPUTS[5 :: len(INPUTS) // 12]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return prepared(tmp_path_factory.mktemp("inputs") / "place")


def test_there_are_many_inputs_for_every_entry():
    assert len(INPUTS) > 2000
    assert {one.entry for one in INPUTS} == {"mti.run", "mti.generate", "mti.report", "mti.dashboard"}


@pytest.mark.parametrize("one", SAMPLE, ids=map(str, range(len(SAMPLE))))
def test_an_odd_input_is_taken_or_told(place, tmp_path, one):
    assert not faults_of(one, place, tmp_path / "log.txt"), one
