"""Fixtures for unit tests."""

from pathlib import Path

import pytest

from tests.unit import checkpoints


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint that tests share: copy it (checkpoints.copy) before changing anything."""
    import torch

    torch.set_num_threads(1)  # for matrices this small, threads of a busy machine mostly wait for each other
    return checkpoints.make(tmp_path_factory.mktemp("checkpoint") / "tiny")
