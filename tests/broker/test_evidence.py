"""What two replicas wrote on a real broker, taken off the topic: it verifies offline, and can be handed over."""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.broker.conftest import Service
from tests.harness import mimamori, post, wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(420)]

Flags = Callable[..., dict[str, str]]
WORDS = "内緒の文章"


def test_a_case_of_two_replicas_verifies_offline_and_is_handed_over(
    service: Service, flags: Flags, tmp_path: Path
) -> None:
    outside = service.outside
    settings = flags("defamation")
    url = "https://sns.example/posts/1"
    with service.worker(**settings) as victim:
        outside.send([post("ann", 1, f"{WORDS}1", url=url), post("ann", 2, f"{WORDS}2", url=url)])
        wait_until(lambda: outside.committed(service.group, "posts") == 2, 120, victim.tail)
        victim.kill()
    (case_id,) = {record["case_id"] for record in outside.records("consultation-escalations")}
    edit = {**post("ann", 1, f"{WORDS}3", url=url), "event": "edited", "revision": 2}
    review = {
        "schema": "review/1",
        "review_id": "r1",
        "post_id": "ann-1",
        "author_id": "ann",
        "case_id": case_id,
        "verdict": "hand_off",
        "reviewer_id": "staff-7",
        "reason": "",
        "occurred_at": "2026-11-24T00:00:00Z",
    }
    with service.worker(**settings) as heir:  # its disk is empty: the head of the chain comes from the changelog
        outside.send([edit])
        wait_until(lambda: outside.committed(service.group, "posts") == 3, 120, heir.tail)
        outside.send([review], topic="staff-reviews")
        wait_until(lambda: outside.committed(service.group, "staff-reviews") == 1, 120, heir.tail)
    values = [message.value() or b"" for message in outside.read("consultation-escalations")]
    last = next(value for value in values if json.loads(value)["status"] == "handed_off")

    file = tmp_path / "escalations.jsonl"
    file.write_bytes(b"\n".join(reversed(values)))
    verified = mimamori("evidence", "verify", str(file))
    assert (verified.returncode, verified.stderr) == (0, "")
    assert f"case {case_id}: 4 records" in verified.stdout
    assert f"ends in {hashlib.sha256(last).hexdigest()}" in verified.stdout
    assert WORDS not in verified.stdout

    file.write_bytes(b"\n".join(values).replace(f"{WORDS}2".encode(), f"{WORDS}9".encode()))
    assert "its evidence is not what its hash says" in mimamori("evidence", "verify", str(file)).stderr

    file.write_bytes(last)
    handed = mimamori("handoff", str(file), "--html")
    assert handed.returncode == 0, handed.stderr
    assert f"{WORDS}3" in re.sub("</?mark>", "", handed.stdout)
    assert url in handed.stdout
    actions = tmp_path / "actions.jsonl"
    actions.write_bytes(b"\n".join(message.value() or b"" for message in outside.read("moderation-actions")))
    done = mimamori("handoff", str(file), "--to", "ihaho", "--actions", str(actions))
    assert "削除要請（自動、期限 " in done.stdout
    assert mimamori("handoff", str(file), "--to", "ihc").returncode == 1
