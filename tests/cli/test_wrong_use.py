"""Wrong use and configuration: exit 2 with one line that names what is wrong; exit 3 where Kafka does not answer."""

import gzip
import json
import socket
import subprocess
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path

import pytest
import yaml

from tests.harness import OUTPUTS, mimamori
from tests.unit import checkpoints
from workers.embedded import PARTITIONS, EmbeddedKafka
from workers.layout import PACKAGED

TOPICS = ("posts", "staff-reviews", "mimamori-authors-changelog", *OUTPUTS)
DEFAULT_POLICY = resources.files("workers").joinpath("policies/default.yml").read_text("utf-8")
POSTS = '{"text": "内緒の文章", "labels": ["insult"]}\n{"text": "内緒の文章", "labels": ["spam"]}\n'
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def one_line(done: "subprocess.CompletedProcess[str]", *said: str, code: int = 2) -> None:
    """The exit code, and on stderr one line for people, beside the worker's log."""
    assert done.returncode == code, done.stderr[-3_000:]
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert len(lines) == 1, done.stderr[-3_000:]
    assert lines[0].startswith("mimamori: ")
    for part in said:
        assert part in lines[0]
    assert "内緒の文章" not in done.stderr


@pytest.fixture(scope="module")
def closed() -> Iterator[str]:
    """An address where nothing listens: a port taken, and not opened."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{held.getsockname()[1]}"


@pytest.fixture(scope="module")
def topics_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The packaged topics with the partitions that the embedded broker makes."""
    raw = yaml.safe_load(PACKAGED.read_text("utf-8"))
    for entry in raw["topics"].values():
        entry["partitions"] = PARTITIONS
    path = tmp_path_factory.mktemp("topics") / "topics.yml"
    path.write_text(yaml.safe_dump(raw), "utf-8")
    return str(path)


@pytest.fixture(scope="module")
def embedded() -> EmbeddedKafka:
    """A broker with all topics."""
    kafka = EmbeddedKafka()
    kafka.make(TOPICS)
    return kafka


@pytest.fixture
def worker(embedded: EmbeddedKafka, topics_file: str, tiny: Path, tmp_path: Path) -> Run:
    """A worker for which all is well but what the test changes."""

    def run(**changes: str) -> "subprocess.CompletedProcess[str]":
        settings = {
            "MIMAMORI_BOOTSTRAP_SERVERS": embedded.bootstrap,
            "MIMAMORI_TOPICS_FILE": topics_file,
            "MIMAMORI_MODEL": str(tiny),
            "MIMAMORI_DATADIR": str(tmp_path / "data"),
            "MIMAMORI_WEB_PORT": "0",
        }
        return mimamori("worker", settings={**settings, **changes})

    return run


# -- the command line itself ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "required: COMMAND"),
        (("moderate",), "moderate"),
        (("worker", "now"), "now"),
        (("topics",), "verb"),
        (("topics", "delete"), "delete"),
        (("classify", "--modle", "x"), "--modle"),
        (("train", "--out", "x"), "--base"),
        (("train", "--base", "x", "--out", "y", "--epochs", "0"), "--epochs"),
        (("train", "--base", "x", "--out", "y", "--epochs", "-3"), "--epochs"),
        (("train", "--base", "x", "--out", "y", "--epochs", "two"), "whole number of 1 or more"),
        (("train", "--base", "x", "--out", "y", "--epochs", "²"), "whole number of 1 or more"),
        (("train", "--base", "x", "--out", "y", "--rate", "1"), "number between 0 and 1"),
        (("train", "--base", "x", "--out", "y", "--rate", "fast"), "--rate"),
        (("train", "--base", "x", "--out", "y", "--seed", "x"), "--seed"),
        (("evaluate", "--split", "half"), "half"),
        (("redrive", "all"), "all"),
        (("redrive", "--error", "bad_luck"), "bad_luck"),
        (("redrive", "--topic", "moderation-decisions"), "moderation-decisions"),
        (("redrive", "--failed-since", "yesterday"), "with its zone"),
        (("redrive", "--failed-since", "2026-11-24T00:00:00"), "with its zone"),
        (("redrive", "--rate", "0"), "--rate"),
        (("redrive", "--rate", "nan"), "--rate"),
        (("redrive", "--limit", "0"), "--limit"),
        (("redrive", "--partition", "-1"), "--partition"),
        (("redrive", "--partition", "1", "--offset", "9-3"), "the first is behind the last"),
        (("redrive", "--offset", "3"), "--partition"),
        (("redrive", "--wait", "5"), "--go"),
    ],
)
def test_arguments(arguments: tuple[str, ...], said: str) -> None:
    done = mimamori(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert said in done.stderr.splitlines()[-1]
    assert done.stdout == ""


# -- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [("worker",), ("topics", "plan"), ("topics", "apply"), ("classify",)])
def test_unknown_setting(command: tuple[str, ...]) -> None:
    done = mimamori(*command, settings={"MIMAMORI_BOOTSTRAP_SERVER": "kafka:9092"})
    one_line(done, "MIMAMORI_BOOTSTRAP_SERVER:", "did you mean MIMAMORI_BOOTSTRAP_SERVERS?")


def test_several_settings_are_told_in_one_line() -> None:
    settings = {"MIMAMORI_SHADOW": "yes", "MIMAMORI_WEB_PORT": "http", "MIMAMORI_POLICY_FILE": "/nowhere.yml"}
    one_line(mimamori("worker", settings=settings), *(f"{name}: " for name in settings))


# -- files of classify, train and evaluate ----------------------------------------------------------------------------


def test_missing_files(tiny: Path, tmp_path: Path) -> None:
    settings = {"MIMAMORI_MODEL": str(tiny)}
    none = str(tmp_path / "none")
    one_line(mimamori("classify", none, settings=settings), none, "No such file or directory")
    one_line(mimamori("classify", str(tmp_path), settings=settings), str(tmp_path), "Is a directory")
    one_line(mimamori("classify", settings={"MIMAMORI_MODEL": none}), "MIMAMORI_MODEL", none)
    one_line(mimamori("classify", "--model", none), none, "no such checkpoint directory")
    one_line(mimamori("evaluate", str(tiny), "--data", none), none, "cannot be read")
    one_line(mimamori("evaluate", none), none, "no such checkpoint directory")
    one_line(mimamori("train", "--base", none, "--out", str(tmp_path / "out")), f"{none}/config.json: missing")


def test_bad_checkpoint(tiny: Path, tmp_path: Path) -> None:
    broken = checkpoints.copy(tiny, tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"cut short")
    for done in (
        mimamori("classify", settings={"MIMAMORI_MODEL": str(broken)}),
        mimamori("classify", "--model", str(broken)),
        mimamori("evaluate", str(broken)),
        mimamori("train", "--base", str(broken), "--out", str(tmp_path / "out")),
    ):
        one_line(done, str(broken))
    odd = checkpoints.copy(tiny, tmp_path / "odd", thresholds={"spam": 0.5})
    one_line(mimamori("classify", "--model", str(odd)), "thresholds.json", "'spam'")


def test_bad_posts_and_places_to_write(tiny: Path, tmp_path: Path) -> None:
    posts = tmp_path / "posts.jsonl"
    posts.write_text(POSTS, "utf-8")
    one_line(mimamori("evaluate", str(tiny), "--data", str(posts)), f"{posts}:2: ", "`labels`")
    out = str(tmp_path / "out")
    one_line(mimamori("train", "--base", str(tiny), "--data", str(posts), "--out", out), f"{posts}:2: ", "`labels`")
    one_line(mimamori("train", "--base", str(tiny), "--data", str(posts), "--out", str(posts)), str(posts))
    posts.write_text(POSTS.splitlines()[0] + "\n", "utf-8")
    nowhere = str(tmp_path / "none" / "report.json")
    one_line(mimamori("evaluate", str(tiny), "--data", str(posts), "--json", nowhere), nowhere)


def test_corpora_that_are_missing_or_hold_no_labelled_post(tiny: Path, tmp_path: Path) -> None:
    corpus, out = ("--corpus", str(tmp_path)), ("--out", str(tmp_path / "out"))
    one_line(mimamori("evaluate", str(tiny), *corpus), "open2ch_ranking.txt.gz is missing")
    one_line(mimamori("train", "--base", str(tiny), *out, *corpus), "open2ch_ranking.txt.gz is missing")
    with gzip.open(tmp_path / "open2ch_ranking.txt.gz", "wt", encoding="utf-8") as file:
        file.write("内緒の文章\n")
    for split in ("test", "all"):
        one_line(mimamori("evaluate", str(tiny), *corpus, "--split", split), f"no labelled post of the split {split}")


def test_train_then_evaluate(tiny: Path, tmp_path: Path) -> None:
    """That the commands do work when they are used right."""
    posts, out, report = tmp_path / "posts.jsonl", tmp_path / "out", tmp_path / "report.json"
    rows = [{"text": f"内緒の文章{i}", "labels": ["insult"] if i % 2 else []} for i in range(20)]
    posts.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    arguments = ("--data", str(posts), "--out", str(out), "--epochs", "1", "--seed", "4")
    done = mimamori("train", "--base", str(tiny), *arguments)
    assert done.returncode == 0, done.stderr
    assert "epoch 1/1" in done.stderr, "no progress bar"
    done_too = mimamori("evaluate", str(out), "--data", str(posts), "--json", str(report))
    assert done_too.returncode == 0, done_too.stderr
    assert "| insult | 10 |" in done_too.stdout
    assert json.loads(report.read_text("utf-8"))["posts"] == 20
    for one in (done, done_too):
        assert "内緒の文章" not in one.stdout + one.stderr


# -- topics.yml -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("topics: [", "line 1"),
        ("", ""),
        ("- a", ""),
        ("replication: 3\nmin_insync: 2\ntopics: {}\n", "posts"),
        ("replication: many\n", "replication"),
        ("\x00", ""),
    ],
)
@pytest.mark.parametrize("command", [("worker",), ("topics", "plan"), ("topics", "apply")])
def test_bad_topics_file(tmp_path: Path, closed: str, command: tuple[str, ...], content: str, said: str) -> None:
    file = tmp_path / "topics.yml"
    file.write_text(content, "utf-8")
    settings = {"MIMAMORI_TOPICS_FILE": str(file), "MIMAMORI_BOOTSTRAP_SERVERS": closed}
    one_line(mimamori(*command, settings=settings), str(file), said)


def test_topics_file_that_is_not_there() -> None:
    settings = {"MIMAMORI_TOPICS_FILE": "/nowhere/topics.yml"}
    one_line(mimamori("topics", "plan", settings=settings), "MIMAMORI_TOPICS_FILE", "/nowhere/topics.yml")


# -- the cluster ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [("worker",), ("topics", "plan"), ("topics", "apply"), ("redrive",)])
def test_no_broker(closed: str, tiny: Path, command: tuple[str, ...]) -> None:
    settings = {"MIMAMORI_BOOTSTRAP_SERVERS": closed, "MIMAMORI_MODEL": str(tiny)}
    one_line(mimamori(*command, settings=settings), closed, code=3)


def test_no_broker_of_several(closed: str) -> None:
    settings = {"MIMAMORI_BOOTSTRAP_SERVERS": f"{closed},nowhere.invalid:9092"}
    one_line(mimamori("topics", "plan", settings=settings), closed, "nowhere.invalid:9092", code=3)


@pytest.mark.parametrize("missing", ["posts", "care-outreach", "mimamori-authors-changelog"])
def test_a_missing_topic_is_named(topics_file: str, tiny: Path, tmp_path: Path, missing: str) -> None:
    kafka = EmbeddedKafka()
    kafka.make(topic for topic in TOPICS if topic != missing)
    settings = {
        "MIMAMORI_BOOTSTRAP_SERVERS": kafka.bootstrap,
        "MIMAMORI_TOPICS_FILE": topics_file,
        "MIMAMORI_MODEL": str(tiny),
        "MIMAMORI_DATADIR": str(tmp_path / "data"),
        "MIMAMORI_WEB_PORT": "0",
    }
    one_line(mimamori("worker", settings=settings), f"no topic {missing};", "mimamori topics apply")


def test_topics_under_another_prefix_are_missing(worker: Run) -> None:
    one_line(worker(MIMAMORI_TOPIC_PREFIX="staging-"), "no topic staging-posts, staging-staff-reviews")


def test_partitions_that_the_file_contradicts(worker: Run) -> None:
    one_line(worker(MIMAMORI_TOPICS_FILE=str(PACKAGED)), "posts has 4 partitions", str(PACKAGED), "12")


# -- the worker's model and policy ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("labels: [", "not valid YAML"),
        ("", "object"),
        ("schema: policy/1\n", "policy.yml:1: `title` is missing"),
        (DEFAULT_POLICY.replace("policy/1", "policy/9"), "schema: unknown `policy/9`. Did you mean `policy/1`?"),
        (DEFAULT_POLICY.replace("imminent_signs:\n", "imminent_signs:\n  - (夜+)+$\n"), "imminent_signs[0]: `(夜+)+$"),
    ],
)
def test_bad_policy_file(worker: Run, tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "policy.yml"
    file.write_text(content, "utf-8")
    one_line(worker(MIMAMORI_POLICY_FILE=str(file)), str(file), said)


def test_worker_with_a_bad_checkpoint(worker: Run, tiny: Path, tmp_path: Path) -> None:
    broken = checkpoints.copy(tiny, tmp_path / "broken")
    (broken / "vocab.txt").unlink()
    one_line(worker(MIMAMORI_MODEL=str(broken)), f"{broken / 'vocab.txt'}: missing")


def test_worker_whose_port_is_taken(worker: Run) -> None:
    with socket.socket() as held:
        held.bind(("0.0.0.0", 0))  # noqa: S104 # as the worker binds it
        held.listen()
        port = str(held.getsockname()[1])
        one_line(worker(MIMAMORI_WEB_PORT=port), port)


def test_worker_whose_datadir_is_a_file(worker: Run, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("", "utf-8")
    one_line(worker(MIMAMORI_DATADIR=str(file)), f"MIMAMORI_DATADIR: {file} is no directory")
    one_line(worker(MIMAMORI_DATADIR=str(file / "data")), f"MIMAMORI_DATADIR: {file} is no directory")
