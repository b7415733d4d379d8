"""Fixtures for tests of the command line."""

import json
from pathlib import Path

import pytest

from models.labels import LABEL_IDS
from tests.unit import checkpoints


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint that tests share, never changed. Little is flagged, since what is takes time to explain."""
    made = checkpoints.make(tmp_path_factory.mktemp("checkpoint") / "tiny")
    (made / "thresholds.json").write_text(json.dumps(dict.fromkeys(LABEL_IDS, 0.999)), "utf-8")
    return made
