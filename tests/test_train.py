"""Which runs are trained together."""

from dataclasses import replace

import pytest
import torch
from PIL import Image
from sweeping import configured

from mti import train
from mti.inversion import Run
from mti.optimizers.adamw import AdamW
from mti.outputs import RunFolder
from mti.plan import PlannedRun
from mti.prepare import PreparedRun
from mti.schema import Training
from mti.train import batches, cut
from mti.types import Concept, InitialText, PreparedConcept


def prepared(folder, at_once=4):
    """A run in a folder, of which at most so many are to be trained at once."""
    picture = Image.new("RGB", (8, 8))
    config = configured(folder, f"training.runs_at_once={at_once}")
    planned = PlannedRun(config, RunFolder(folder), Concept("x", ()))
    concept = PreparedConcept("x", {}, (picture,), picture)
    run = Run("x", 0, [1], [], Training(), AdamW())
    return PreparedRun(planned, concept, InitialText("a", "given", "a"), ["a"], torch.zeros(1, 3, 8, 8), None, run)


@pytest.fixture
def runs(tmp_path):
    return [prepared(tmp_path / str(i)) for i in range(6)]


def test_no_more_are_put_together_than_make_an_update_quicker(tmp_path, tiny_sd, monkeypatch):
    monkeypatch.setattr(train, "MOST_AT_ONCE", 3)
    monkeypatch.setattr(train, "fitting", lambda step, wanted, device: (wanted, "all"))
    many = [prepared(tmp_path / str(i), "null") for i in range(7)]
    assert numbers(batches(many, tiny_sd)) == [[0, 1, 2], [3, 4, 5], [6]]


def numbers(found):
    return [[int(run.planned.folder.path.name) for run in batch] for batch in found]


def test_as_many_as_fit_are_put_together_and_stay_so(runs, tiny_sd):
    assert numbers(batches(runs, tiny_sd)) == [[0, 1, 2, 3], [4, 5]]
    assert numbers(batches(runs[1:], tiny_sd)) == [[1, 2, 3], [4, 5]]  # the first is finished


def test_a_batch_that_was_not_written_to_all_its_folders_is_whole_again(runs, tiny_sd):
    """A process that is killed between two of its writes has trained none of it."""
    batches(runs, tiny_sd)
    kept = [run.planned.folder.read_batch() for run in runs]
    for number in (2, 3, 4, 5):
        (runs[number].planned.folder.path / "batch.json").unlink()
    assert numbers(batches(runs, tiny_sd)) == [[0, 1, 2, 3], [4, 5]]
    assert [run.planned.folder.read_batch() for run in runs] == kept


def test_fewer_at_once_than_before_are_shared_out_anew(runs, tiny_sd):
    batches(runs, tiny_sd)
    fewer = [prepared(run.planned.folder.path, at_once=2) for run in runs]
    assert sorted(numbers(batches(fewer, tiny_sd))) == [[0, 1], [2, 3], [4, 5]]


def test_a_run_whose_race_is_over_shares_no_batch_with_one_that_begins(runs, tiny_sd):
    mixed = [replace(run, raced=50 * (i % 2)) for i, run in enumerate(runs)]
    assert numbers(batches(mixed, tiny_sd)) == [[0, 2, 4], [1, 3, 5]]


def test_parts_of_a_batch_are_kept_as_such(runs, tiny_sd):
    assert numbers(cut(runs[:5], 2)) == [[0, 1], [2, 3], [4]]
    assert numbers(batches(runs[:5], tiny_sd)) == [[0, 1], [2, 3], [4]]
