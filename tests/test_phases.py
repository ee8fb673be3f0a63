import logging
import time

import pytest

from mti import phases
from mti.phases import phase


@pytest.mark.parametrize(("patience", "said"), [(0.01, ["looking at the picture …"]), (60, [])])
def test_what_takes_long_says_what_it_does_and_what_is_quick_does_not(monkeypatch, caplog, patience, said):
    monkeypatch.setattr(phases, "PATIENCE", patience)
    with caplog.at_level(logging.INFO, "mti"), phase("looking at the picture"):
        time.sleep(0.2)
    assert caplog.messages == said


def test_an_error_silences_it(monkeypatch, caplog):
    monkeypatch.setattr(phases, "PATIENCE", 0.1)
    with caplog.at_level(logging.INFO, "mti"), pytest.raises(ValueError, match="broken"), phase("encoding"):
        raise ValueError("broken")
    time.sleep(0.3)
    assert not caplog.messages
