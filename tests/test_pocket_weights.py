from pathlib import Path

import mti
from mti.pocket_weights import weights_path


def test_the_prefix_leads_into_the_package():
    assert Path(weights_path("pocket:captioner")) == Path(mti.__file__).parent / "pocket" / "weights" / "captioner"


def test_other_paths_stay():
    assert weights_path("org/name") == "org/name"
    assert weights_path("/folder/pocket:x") == "/folder/pocket:x"
