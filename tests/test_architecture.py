"""The arrows between the rooms: who may import whom."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = (
    {"errors", "ranges", "templates", "types"},  # shared types
    {
        "typed",
        "literals",
        "files",
        "images",
        "library_logging",
        "usage",
        "weights",
        "downloads",
        "memory",
        "clock",
        "phases",
        "rows",
    },  # leaf helpers
    {
        "schema",
        "checks",
        "schedules",
        "concepts",
        "embeddings",
        "parts",
        "isolation",
        "termination",
        "figures",
    },
    {
        "tokens",
        "loss",
        "noise",
        "minibatch",
        "starts",
        "sampling",
        "inversion",
        "throughput",
        "evaluation",
        "calibration",
        "outputs",
        "loggers",
    },  # the method
    {
        "record",
        "choice",
        "objective",
        "close",
        "callbacks",
        "lightning",
        "race",
        "plan",
        "prepare",
        "dry_run",
        "batches",
        "train",
        "executors",
        "command_line",
    },  # planning and training
    {"run", "generate", "download", "export"},  # the entries
    {"library", "cli", "completion", "page"},  # the ways in
)
RANK = {room: rank for rank, layer in enumerate(LAYERS) for room in layer}
ROOMS = {"models", "initializers", "perception", "metrics", "datasets", "optimizers", "stops"}
REPORT = {"report", "reporting", "dashboard"}
BELOW = LAYERS[0] | LAYERS[1] | {"concepts", "embeddings"}


def imported(path: Path) -> set[str]:
    """The modules of mti that a file names in import statements, as "room" or "room.module"."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "mti":
            if node.module == "mti":
                names |= {alias.name for alias in node.names}
            names.add(node.module.removeprefix("mti").removeprefix("."))
        elif isinstance(node, ast.Import):
            names |= {alias.name.removeprefix("mti.") for alias in node.names if alias.name.startswith("mti.")}
    return {name for name in names if name}


def files(room: str) -> list[Path]:
    folder = ROOT / "mti" / room
    return sorted(folder.rglob("*.py")) or [path for path in [folder.with_suffix(".py")] if path.exists()]


EVERY_FILE = sorted((ROOT / "mti").rglob("*.py")) + sorted((ROOT / "hydra_plugins").rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[1].removesuffix(".py")


@pytest.mark.parametrize("room", sorted(RANK))
def test_imports_run_one_way(room):
    """Shared types ← leaf helpers ← the method ← planning and training ← entries."""
    assert files(room), room
    for path in files(room):
        for name in {name.split(".")[0] for name in imported(path)} - {room}:
            higher = {"executors": {"run", "parts"}}.get(room, set())  # workers start as an entry does
            assert name in higher or RANK[name] <= RANK[room], f"{path} imports {name}"


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_a_room_of_parts_imports_only_itself_perception_and_leaves(room):
    for path in files(room):
        allowed = BELOW | {room} | ({"perception"} if room == "initializers" else set())
        assert {name.split(".")[0] for name in imported(path)} <= allowed, path


def test_inversion_knows_nothing_of_files_or_rooms():
    assert imported(ROOT / "mti" / "inversion.py") <= {
        "loss",
        "minibatch",
        "noise",
        "rows",
        "schedules",
        "schema",
        "templates",
        "tokens",
        "types",
    }


def test_every_file_is_in_a_layer_or_a_room():
    known = {*RANK, *ROOMS, *REPORT, "pocket", "__init__"}
    assert {room_of(path) for path in EVERY_FILE if "hydra_plugins" not in str(path)} <= known


def test_no_file_is_too_long_to_know_by_heart():
    long = [path for path in EVERY_FILE if room_of(path) != "pocket" and len(path.read_text().splitlines()) > 300]
    assert not long


@pytest.mark.parametrize("path", EVERY_FILE, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_but_pocket_imports_pocket_and_the_rooms_are_reached_through_hydra(path):
    room = path.relative_to(ROOT).parts[1].removesuffix(".py")
    reached = {name.split(".")[0] for name in imported(path)}
    if room != "pocket":
        assert "pocket" not in reached
    if room not in ROOMS | {"pocket"}:
        assert not reached & ROOMS


def test_the_report_reads_run_folders_only_and_is_read_by_nothing():
    for path in EVERY_FILE:
        reached = {name.split(".")[0] for name in imported(path)}
        if path.relative_to(ROOT).parts[1].removesuffix(".py") in REPORT:
            assert reached <= {"outputs", "types", "reporting"}, path
        else:
            assert not reached & REPORT, path
            assert "import matplotlib" not in path.read_text(), path


def test_the_launcher_reaches_only_the_entry():
    launcher = ROOT / "hydra_plugins" / "mti_fused_launcher" / "launcher.py"
    assert imported(launcher) <= {"run", "command_line", "checks", "errors", "parts", "schema", "typed"}
