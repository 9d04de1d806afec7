import sys

import pytest
from tracker_stand_ins import STAND_INS

NAMES = ("wandb", "mlflow")


@pytest.fixture
def stand_ins(monkeypatch):
    """Stand-ins of both packages are what an import finds."""
    for name in [x for x in sys.modules if x.partition(".")[0] in NAMES]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(STAND_INS)
    yield
    for name in NAMES:
        sys.modules.pop(name, None)
