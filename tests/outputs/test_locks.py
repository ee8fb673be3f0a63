import multiprocessing
import os
import resource
import signal
import tempfile
from pathlib import Path

import pytest

from mti.outputs import RunFolder, allow_locks
from mti.types import UserError


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path / "run")


def hold(path, held):
    with RunFolder(path).locked():
        held.set()
        signal.pause()


def test_a_second_process_is_refused_until_the_first_is_dead(folder):
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    process = context.Process(target=hold, args=(folder.path, held))
    process.start()
    assert held.wait(60)
    with pytest.raises(UserError, match=f"run is in use by process {process.pid}: wait"), folder.locked():
        pass
    process.kill()
    process.join()
    with folder.locked():
        pass
    with folder.locked():
        pass


def test_the_lock_says_who_holds_it_as_long_as_it_is_held(folder):
    with folder.locked():
        assert (folder.path / ".lock").read_text() == str(os.getpid())
        with pytest.raises(UserError, match=f"in use by process {os.getpid()}"), RunFolder(folder.path).locked():
            pass
    assert (folder.path / ".lock").read_text() == ""


def test_as_many_locks_as_a_sweep_has_runs(monkeypatch):
    limits = [[1024, 4096]]
    monkeypatch.setattr(resource, "getrlimit", lambda which: tuple(limits[-1]))
    monkeypatch.setattr(resource, "setrlimit", lambda which, wanted: limits.append(list(wanted)))
    allow_locks(3000)
    assert limits[-1] == [4024, 4096]
    allow_locks(12)
    assert limits[-1] == [4024, 4096]
    with pytest.raises(UserError, match=r"^5,000 runs at once need 6,024 open files, and the system allows 4,096: "):
        allow_locks(5000)
    limits.append([1024, 1024])  # of a system that allows no more than is usual
    allow_locks(12)
    assert limits[-1] == [1024, 1024]
    limits.append([256, resource.RLIM_INFINITY])
    allow_locks(5000)
    assert limits[-1] == [6024, resource.RLIM_INFINITY]


def test_an_error_lets_go_of_the_lock(folder):
    with pytest.raises(RuntimeError), folder.locked():
        raise RuntimeError
    with folder.locked():
        pass


def test_what_a_killed_process_left_half_written_is_cleaned(folder):
    folder.write_config("image: cup\n")
    (folder.path / "samples" / ".00005.draft").mkdir(parents=True)
    (folder.path / ".summary.json.draft").write_text("{")
    with folder.locked():
        assert sorted(os.listdir(folder.path)) == [".lock", "config.yaml", "samples"]
        assert os.listdir(folder.path / "samples") == []


def test_where_no_folder_can_be_is_told_in_a_line(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to("loop")
    for path in ("file", "file/run", "loop", "loop/run", "/proc/x", "x" * 300):
        with pytest.raises(UserError, match=r"cannot be written \([^\n]*$"), RunFolder(tmp_path / path).locked():
            pass
    (tmp_path / "run" / ".lock").mkdir(parents=True)
    with (
        pytest.raises(UserError, match=r"run cannot be written \(Is a directory\)"),
        RunFolder(tmp_path / "run").locked(),
    ):
        pass


def read_only(path, verdict):
    if os.getuid() == 0:
        os.setuid(65534)
    folder = RunFolder(path)
    with folder.locked():
        good = folder.finished
    try:
        folder.write_config("")
    except UserError as error:
        verdict.put((good, str(error)))


@pytest.mark.parametrize("begun", [True, False])
def test_a_finished_run_in_a_folder_that_is_read_only_can_be_looked_at(begun):
    context = multiprocessing.get_context("spawn")
    verdict = context.SimpleQueue()
    with tempfile.TemporaryDirectory() as place:  # not pytest's, which is for its owner's eyes only
        folder = RunFolder(Path(place))
        if begun:
            with folder.locked():
                pass
        folder.write_summary({"status": "finished"})
        folder.path.chmod(0o555)
        process = context.Process(target=read_only, args=(folder.path, verdict))
        process.start()
        process.join(60)
        folder.path.chmod(0o755)
    assert process.exitcode == 0
    good, error = verdict.get()
    assert good
    assert "config.yaml cannot be written (Permission denied): choose a folder that you may write to" in error
