"""SIGHUP on a real broker: another policy in mid-stream, a bad file, and the same bytes whatever policy is in use."""

import json
import re
import shutil
import signal
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.broker.conftest import Service, policy_that_flags
from tests.harness import WorkerProcess, post, wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(420)]


def hang_up(worker: WorkerProcess) -> None:
    assert worker.process is not None
    worker.process.send_signal(signal.SIGHUP)


def shown(worker: WorkerProcess, metric: str) -> list[str]:
    _, metrics = worker.probe("/metrics")
    return [line for line in metrics.splitlines() if line.startswith(metric)]


def failed(worker: WorkerProcess) -> float:
    (line,) = shown(worker, "mimamori_policy_reload_failed ")
    return float(line.split()[1])


def versions(worker: WorkerProcess) -> set[str]:
    """The policies that the metrics show as in use."""
    return {match[1] for line in shown(worker, "mimamori_versions{") if (match := re.search('policy="(.*?)"', line))}


@pytest.fixture
def policies(tmp_path: Path) -> tuple[Path, Callable[[int], None]]:
    """The file that a worker reads, and what replaces it, in one move, by one with another window."""
    path = policy_that_flags(tmp_path, "insult")
    text = path.read_text("utf-8")
    assert text.count("strike_days: 90") == 1

    def replace(days: int) -> None:
        new = tmp_path / "new.yml"
        new.write_text(text.replace("strike_days: 90", f"strike_days: {days}"), "utf-8")
        shutil.move(new, path)

    return path, replace


def test_a_reload_in_mid_stream_loses_nothing_and_a_bad_file_changes_nothing(
    service: Service, policies: tuple[Path, Callable[[int], None]]
) -> None:
    outside, (path, replace) = service.outside, policies
    worker = service.worker(MIMAMORI_POLICY_FILE=str(path)).start()
    wait_until(lambda: '"port"' in worker.log.read_text("utf-8"), 120, worker.tail)
    hang_up(worker)  # so early that Faust does not run yet: noted, and done as soon as it does
    worker.wait_ready()
    wait_until(lambda: "policy reloaded" in worker.log.read_text("utf-8"), 60, worker.tail)
    (old,) = versions(worker)

    sent = 0

    def send(count: int) -> None:
        nonlocal sent
        outside.send(post(f"s{number % 7}", number, f"{number}件目") for number in range(sent, sent + count))
        sent += count

    def decisions() -> int:
        return outside.counts("moderation-decisions")["moderation-decisions"]

    # Step 1: a new file while posts stream in
    send(600)
    wait_until(lambda: decisions() > 20, 120, worker.tail)
    replace(91)
    hang_up(worker)

    def other_version() -> bool:
        send(10)
        return old not in versions(worker)

    wait_until(other_version, 120, worker.tail)
    (new,) = versions(worker)
    send(100)
    outside.wait_for({"moderation-decisions": sent}, tail=worker.tail)

    # Step 2: a bad file
    path.write_text(path.read_text("utf-8").replace("strike_days: 91", "strike_dayz: 92"), "utf-8")
    hang_up(worker)
    wait_until(lambda: failed(worker) == 1, 60, worker.tail)
    before = sent
    send(50)
    outside.wait_for({"moderation-decisions": sent}, tail=worker.tail)
    assert versions(worker) == {new}
    refused = [json.loads(line) for line in worker.log.read_text("utf-8").splitlines() if "not reloaded" in line]
    assert len(refused) == 1
    told = rf"{path}:\d+: windows\.strike_dayz: unknown key\. Did you mean `strike_days`\?"
    assert re.search(told, refused[0]["detail"])

    # Step 3: the file put right
    replace(92)
    hang_up(worker)
    wait_until(lambda: failed(worker) == 0, 60, worker.tail)
    assert len({old, new} | versions(worker)) == 3
    assert worker.terminate() == 0, worker.tail()

    assert outside.committed(service.group, "posts") == sent
    decided = outside.records("moderation-decisions")
    assert len({d["decision_id"] for d in decided}) == len(decided) == sent
    of_partition = defaultdict(list)
    for decision in sorted(decided, key=lambda d: d["source"]["offset"]):
        of_partition[decision["source"]["partition"]].append(decision["policy_version"])
    for seen in of_partition.values():
        assert seen == sorted(seen, key=[old, new].index), "once the new policy decides, the old one never does again"
    assert {d["policy_version"] for d in decided} == {old, new}
    after = {d["policy_version"] for d in decided if int(d["post_id"].split("-")[1]) >= before}
    assert after == {new}, "a bad file changed what decides"
    assert outside.counts("dead-letters")["dead-letters"] == 0


def test_what_was_stored_is_sent_as_stored_whatever_policy_is_in_use(
    service: Service, policies: tuple[Path, Callable[[int], None]]
) -> None:
    """kill -9 between sending and committing; the heir runs another policy and sends the same bytes again."""
    outside, (path, replace) = service.outside, policies
    victim = service.worker(MIMAMORI_POLICY_FILE=str(path)).start().wait_ready()
    outside.send(post(f"k{number % 20}", number, f"{number}件目") for number in range(600))
    wait_until(lambda: outside.counts("moderation-decisions")["moderation-decisions"] > 50, 120, victim.tail)
    victim.kill()
    replace(91)
    outside.send(post(f"k{number % 20}", number, f"{number}件目") for number in range(600, 650))
    with service.worker(MIMAMORI_POLICY_FILE=str(path)) as heir:
        wait_until(lambda: outside.committed(service.group, "posts") == 650, 240, heir.tail)
        (new,) = versions(heir)
    bytes_of: dict[str, set[bytes]] = defaultdict(set)
    for topic, identity in (("moderation-decisions", "decision_id"), ("moderation-actions", "action_id")):
        for message in outside.read(topic):
            raw = message.value() or b""
            bytes_of[json.loads(raw)[identity]].add(raw)
    assert all(len(made) == 1 for made in bytes_of.values())
    decided = {d["post_id"]: d["policy_version"] for d in outside.records("moderation-decisions")}
    assert len(decided) == 650
    assert len(set(decided.values())) == 2
    assert new in decided.values()
