"""The notebooks, run from top to bottom with few steps."""

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CHEAP = {"evaluation.samples": 6, "evaluation.num_inference_steps": 2}
SIZE = 600_000  # bytes; where code is hosted, larger ones are not shown
PARAMETERS = {
    "first_inversion": {"STEPS": 4, "MORE": CHEAP},
    "comparing_initializers": {"STEPS": 4, "MORE": CHEAP},
    "walk_through_the_loss": {"TIMESTEPS": 2, "NOISES": 2},
}
PICTURES = {"first_inversion": 3, "comparing_initializers": 2, "walk_through_the_loss": 4}


def read(path):
    return nbformat.read(path, as_version=4)


def shown(notebook):
    """The pictures that its cells show."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return [output for output in outputs if "image/png" in output.get("data", {})]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_with_its_outputs(path):
    notebook = read(path)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert len(shown(notebook)) == PICTURES[path.stem]
    assert not [output for cell in code for output in cell.outputs if output.output_type == "error"]
    assert path.stat().st_size < SIZE
    assert str(ROOT) not in path.read_text()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore:Proactor event loop", "ignore::ResourceWarning")  # of the kernel's sockets
def test_a_notebook_runs_and_shows_its_pictures(path, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    notebook = read(path)
    (parameters,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    values = PARAMETERS[path.stem] | {"OUTPUTS": "outputs"}
    parameters.source = "\n".join(f"{name} = {value!r}" for name, value in values.items())
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": tmp_path}}).execute()
    assert len(shown(notebook)) == PICTURES[path.stem]
