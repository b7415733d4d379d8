"""Fixtures for tests of the command line."""

from pathlib import Path

import pytest

from tests.unit import checkpoints


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint that tests share; never changed."""
    return checkpoints.make(tmp_path_factory.mktemp("checkpoint") / "tiny")
