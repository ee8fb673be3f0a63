"""Which runs are trained together."""

import json

import pytest
import torch
from sweeping import prepared

from mti import batches
from mti.batches import Entry, Places
from mti.outputs import BatchRecord


@pytest.fixture
def runs(tmp_path):
    return [prepared(tmp_path / str(i)) for i in range(6)]


def again(runs, **settings):
    """The same runs as another process finds them."""
    return [prepared(run.planned.folder.path, **settings) for run in runs]


def number(entries):
    return {int(run.planned.folder.path.name): step for run, step in entries}


def saved(run, *steps):
    """A run that has checkpoints."""
    for step in steps:
        run.planned.folder.save_state(step, {"embeddings": torch.zeros(1)})
    return Entry(run, steps[-1])


def test_no_more_are_put_together_than_make_an_update_quicker(tmp_path, tiny_sd, monkeypatch):
    monkeypatch.setattr(batches, "MOST_AT_ONCE", 3)
    monkeypatch.setattr(batches, "fitting", lambda step, wanted, device: (wanted, "all"))
    assert Places([prepared(tmp_path / str(i), "null") for i in range(7)], tiny_sd).number == 3


def test_where_not_even_one_fits_while_memory_is_measured_one_is_tried(tmp_path, tiny_sd, monkeypatch):
    def short(*_):
        raise torch.OutOfMemoryError("injected")

    monkeypatch.setattr(batches, "fitting", short)
    assert Places([prepared(tmp_path / str(i), "null") for i in range(2)], tiny_sd).number == 1


def test_places_are_taken_in_the_order_of_the_runs(runs, tiny_sd):
    places = Places(runs, tiny_sd)
    assert places.number == 4
    first = places.taken(4)
    assert number(first) == {0: 0, 1: 0, 2: 0, 3: 0}
    assert number(places.taken(1)) == {4: 0}
    assert number(places.waiting) == {5: 0}


def test_a_batch_that_was_left_behind_comes_first_from_its_newest_common_step(runs, tiny_sd):
    """Three runs after 10, 0 and 6 updates; two have saved their 8th in this batch, and one was killed before."""
    places = Places(runs, tiny_sd)
    saved(runs[4], 10), saved(runs[2], 6)
    places.keep([Entry(runs[4], 10), Entry(runs[1], 0), Entry(runs[2], 6)])
    saved(runs[4], 14, 18), saved(runs[1], 4, 8), saved(runs[2], 10)
    places = Places(again(runs), tiny_sd)
    assert list(number(places.waiting).items()) == [(4, 14), (1, 4), (2, 10), (0, 0), (3, 0), (5, 0)]


def test_who_had_ended_is_closed_before_others_come(runs, tiny_sd):
    places = Places(runs, tiny_sd)
    places.keep(places.taken(2))
    last = runs[0].planned.config.trainer.max_steps
    saved(runs[0], last), saved(runs[1], last)
    places = Places(again(runs), tiny_sd)
    assert number(places.taken(4)) == {0: last, 1: last}
    assert number(places.taken(4)) == {2: 0, 3: 0, 4: 0, 5: 0}


def test_a_batch_in_which_one_had_saved_nothing_begins_again(runs, tiny_sd):
    saved(runs[0], 3)
    Places(runs, tiny_sd).keep([Entry(runs[0], 3), Entry(runs[1], 0)])
    saved(runs[0], 5)
    assert number(Places(again(runs), tiny_sd).taken(2)) == {0: 3, 1: 0}


def test_a_run_whose_race_is_over_goes_on_from_there(runs, tiny_sd):
    mixed = [*again(runs[:2]), *again(runs[2:4], raced=50)]
    assert number(Places(mixed, tiny_sd).taken(4)) == {0: 0, 1: 0, 2: 50, 3: 50}


def test_a_batch_that_was_not_written_to_all_its_folders_is_whole_again(runs, tiny_sd):
    """A process that is killed between two of its writes has trained none of it."""
    places = Places(runs, tiny_sd)
    places.keep(places.taken(4))
    kept = [run.planned.folder.read_batch() for run in runs]
    for i in (2, 3):
        runs[i].planned.folder.write_batch(BatchRecord(0, 4, {}))
    assert number(Places(again(runs), tiny_sd).taken(4)) == {0: 0, 1: 0, 2: 0, 3: 0}
    assert [run.planned.folder.read_batch() for run in runs] == kept


def test_a_batch_that_goes_on_is_not_written_anew(runs, tiny_sd):
    places = Places(runs, tiny_sd)
    places.keep(places.taken(4))
    kept = runs[0].planned.folder.read_batch()
    for run in runs[:4]:
        saved(run, 5)
    places = Places(again(runs), tiny_sd)
    places.keep(places.taken(4))
    assert runs[0].planned.folder.read_batch() == kept
    places.keep([Entry(runs[0], 7), Entry(runs[4], 0)])
    assert runs[0].planned.folder.read_batch().number == kept.number + 1


def test_fewer_at_once_than_before(runs, tiny_sd):
    places = Places(runs, tiny_sd)
    places.keep(places.taken(4))
    places = Places(again(runs, at_once=2), tiny_sd)
    assert number(places.taken(places.number)) == {0: 0, 1: 0}


def test_the_places_are_those_of_before_unless_others_come(runs, tiny_sd, monkeypatch):
    monkeypatch.setattr(batches, "fitting", lambda step, wanted, device: (wanted, "all"))
    Places(runs, tiny_sd)
    assert Places(again(runs, at_once="null"), tiny_sd).number == 4
    others = [prepared(run.planned.folder.path.parent / f"1{i}", "null") for i, run in enumerate(runs)]
    assert Places([*again(runs, at_once="null"), *others], tiny_sd).number == 12


def test_half_of_a_batch_waits_before_all_others(runs, tiny_sd):
    places = Places(runs, tiny_sd)
    places.keep(places.taken(4))
    for run in runs[:3]:
        saved(run, 5)
    assert places.narrowed(runs[:4], torch.OutOfMemoryError("injected"))
    assert list(number(places.waiting).items()) == [(0, 5), (1, 5), (2, 5), (3, 0), (4, 0), (5, 0)]
    assert places.number == 2
    assert number(Places(again(runs), tiny_sd).waiting) == number(places.waiting)


def test_what_is_too_much_for_one_run_alone_is_tried_with_fewer_samples_which_a_later_process_knows(tmp_path, tiny_sd):
    runs = [prepared(tmp_path / str(i), 2) for i in range(2)]
    places, short, alone = Places(runs, tiny_sd), torch.OutOfMemoryError("injected"), runs[:1]
    assert (places.number, places.samples) == (2, None)
    assert places.narrowed(runs, short)
    assert (places.number, places.samples) == (1, None)
    assert not places.narrowed(alone, ValueError("another error"))
    assert (places.number, places.samples) == (1, None)
    for samples in (2, 1):
        assert places.narrowed(alone, short)
        assert (places.number, places.samples) == (1, samples)
    assert Places(again(runs, at_once=1), tiny_sd).samples == 1
    assert not places.narrowed(alone, short)
    assert (places.number, places.samples) == (1, None)


def test_a_record_of_another_edition_is_none_and_a_damaged_one_ends_its_run_alone(runs, tiny_sd):
    paths = [run.planned.folder.path / "batch.json" for run in runs]
    for path in paths[:3]:
        path.parent.mkdir()
    paths[0].write_text(json.dumps({"members": ["a", "b"]}))
    paths[1].write_text("[")
    paths[2].write_text(json.dumps({"number": 1, "places": 4, "members": {}, "samples": 0}))
    assert runs[2].planned.folder.read_batch() is None
    assert number(Places(runs, tiny_sd).waiting) == {0: 0, 2: 0, 3: 0, 4: 0, 5: 0}
    assert "batch.json" in runs[1].planned.folder.summary()["reason"]
