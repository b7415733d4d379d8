"""What broker tests share: a service (topics made, settings ready) on the one real broker, and policies that decide by
label and not by what a model happens to score, so that these tests prove delivery whatever checkpoint is shipped."""

import subprocess
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path

import pytest
import yaml

from models.labels import LABEL_IDS
from tests.harness import Outside, WorkerProcess, mimamori
from tests.kafka.cluster import KafkaCluster

NEVER, ALWAYS = 0.99999, 0.00001


def policy_that_flags(directory: Path, *labels: str) -> Path:
    """The default policy with thresholds that every post passes for `labels` and none for the others."""
    raw = yaml.safe_load(resources.files("workers").joinpath("policies/default.yml").read_text("utf-8"))
    for label in LABEL_IDS:
        rule = raw["distress"] if label == "distress" else raw["labels"][label]
        rule["threshold"] = ALWAYS if label in labels else NEVER
        rule.pop("borderline_below", None)
    if raw["distress"]["threshold"] == NEVER:
        raw["distress"]["urgent_above"] = (NEVER + 1) / 2  # a policy whose distress is always urgent is refused
    path = directory / "policy.yml"
    path.write_text(yaml.safe_dump(raw, allow_unicode=True, sort_keys=False), "utf-8")
    return path


class Service:
    """One prefix and group on the broker."""

    def __init__(self, bootstrap: str, unique: str) -> None:
        self.settings = {
            "MIMAMORI_BOOTSTRAP_SERVERS": bootstrap,
            "MIMAMORI_TOPIC_PREFIX": f"{unique}-",
            "MIMAMORI_GROUP": unique,
        }
        self.group = unique
        self.outside = Outside(bootstrap, f"{unique}-")
        applied: subprocess.CompletedProcess[str] = mimamori("topics", "apply", settings=self.settings)
        assert applied.returncode == 0, applied.stderr
        self.workers: list[WorkerProcess] = []

    def worker(self, **settings: str) -> WorkerProcess:
        """A replica, not yet started."""
        worker = WorkerProcess(self.settings["MIMAMORI_BOOTSTRAP_SERVERS"], **{**self.settings, **settings})
        self.workers.append(worker)
        return worker


@pytest.fixture
def service(kafka: KafkaCluster, unique: str) -> Iterator[Service]:
    made = Service(kafka.bootstrap, unique)
    yield made
    for worker in made.workers:
        worker.kill()


@pytest.fixture
def flags(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """`flags("insult")` → settings under which every post is flagged so."""
    return lambda *labels: {"MIMAMORI_POLICY_FILE": str(policy_that_flags(tmp_path, *labels))}
