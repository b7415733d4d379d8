"""Hand-off: what must not be sent is refused, and what is filled in comes from the record and nowhere else."""

import hashlib
import json
from typing import Any, Final

import msgspec
import pytest

from tests.unit.memory import AT_MS, Json
from tests.unit.stories import WORDS, one, raw, resealed, told
from workers import forms, handoff
from workers.errors import Refused, UsageError
from workers.handoff import Sheet, Supplied

FORMS: Final = forms.load()
RIGHTS: Final = ("defamation",)
INDUCEMENT: Final = ("suicide_inducement",)


def sheet(record: Json, to: str | None = None, supplied: Supplied | None = None) -> Sheet:
    return handoff.sheet(FORMS, handoff.read_record("f", raw(record)), supplied or Supplied(), to)


def values(made: Sheet) -> dict[str, str | None]:
    return {entry.id: entry.value for entry in made.fields}


def action(what: str, post_id: str = "p1", action_id: str = "a1", **more: Any) -> bytes:
    record = {
        "schema": "action/1",
        "action_id": action_id,
        "cause": "d",
        "automated": True,
        "decision_id": "d",
        "post_id": post_id,
        "author_id": "ann",
        "action": what,
        "clause": "model-rights",
        "reasons": [],
        "notice": {"title": "", "body": "", "resources": []},
        "due_at": None,
        "reversible": True,
        "appeal_until": None,
        "supersedes": [],
        "policy_version": "p",
        "model_version": "m",
    }
    return raw({**record, **more})


# -- refusals ----------------------------------------------------------------------------------------------------------

ALONE: Final = one("distress", minor_suspected=True)
NEVER: Final = "a case of distress is never sent to an outside body; staff see to it"
STAFF_ONLY: Final = "the case is not routed there; its routes are staff (内部キュー)"
POLICE: Final = "its routes are staff (内部キュー), police_110 (110), police_cyber (#9110)"
ADDRESSES: Final = "not for ihc: it takes web addresses only; look the post up, and give its own with --url"

REFUSED: Final[list[tuple[str, Json, str | None, str]]] = [
    ("distress alone", ALONE, None, "no body that this case is routed to has a form: its routes are staff"),
    ("distress to the centre", ALONE, "ihaho", f"not for ihaho: {NEVER}"),
    ("distress to the hotline", ALONE, "ihc", f"not for ihc: {NEVER}"),
    ("imminent distress", one("distress", imminent=True), "ihc", NEVER),
    ("distress with forged routes", ALONE | {"routes": one(*RIGHTS)["routes"]}, None, NEVER),
    ("distress among others", one(*RIGHTS) | {"categories": ["defamation", "distress"]}, "ihaho", NEVER),
    ("inducement by one in distress", one("suicide_inducement", "distress"), "ihc", STAFF_ONLY),
    ("slander by one in distress", one("defamation", "distress"), "ihaho", STAFF_ONLY),
    ("slander to the hotline", one(*RIGHTS), "ihc", "not for ihc: it does not take defamation; --to ihaho"),
    ("privacy to the hotline", one("privacy"), "ihc", "not for ihc: it does not take privacy; --to ihaho"),
    ("inducement to the centre", one(*INDUCEMENT), "ihaho", "it does not take suicide_inducement; --to ihc"),
    ("a threat to the hotline", one("threat"), "ihc", f"not for ihc: it does not take threat; {POLICE}"),
    ("a threat", one("threat"), None, f"no body that this case is routed to has a form: {POLICE}"),
    ("no label", one(*RIGHTS) | {"categories": []}, "ihaho", "it does not take a case without a violation"),
    ("no route", one(*RIGHTS) | {"routes": []}, "ihaho", "the case is not routed there; its routes are none"),
    ("no address", one(*INDUCEMENT, url=None), "ihc", ADDRESSES),
    ("no web address", one(*INDUCEMENT, url="app://post/1"), "ihc", ADDRESSES),
    ("a script for an address", one(*INDUCEMENT, url="javascript:1//https://x"), "ihc", ADDRESSES),
    ("half an address", one(*INDUCEMENT, url="http://["), "ihc", ADDRESSES),
    ("closed", one(*RIGHTS) | {"status": "closed"}, "ihaho", "the case is closed; reopen it by a review first"),
    ("no dossier", one(*RIGHTS) | {"dossier": None}, "ihaho", "this record has no dossier"),
]


@pytest.mark.parametrize(("record", "to", "said"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_must_not_be_sent_is_refused(record: Json, to: str | None, said: str) -> None:
    with pytest.raises(Refused) as caught:
        sheet(record, to)
    message = str(caught.value)
    assert said in message
    assert "\n" not in message
    assert WORDS not in message
    assert caught.value.exit_code == 1


def test_evidence_that_was_changed_is_not_handed_on() -> None:
    record = one(*RIGHTS)
    record["dossier"]["post"]["text"] = "別の文章"
    with pytest.raises(Refused, match=r"its evidence is not what its hash says.*see mimamori evidence verify"):
        sheet(record)


def test_a_body_without_a_form_is_wrong_use() -> None:
    with pytest.raises(UsageError, match="--to safeline: no such form; there are ihaho, ihc"):
        sheet(one(*RIGHTS), "safeline")
    with pytest.raises(UsageError, match="--url: must be a web address"):
        sheet(one(*RIGHTS), None, Supplied(url="p1"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "f: no record of escalation/1: not valid UTF-8 JSON"),
        (b"null", "f: no record of escalation/1: Expected `object`"),
        (action("warn"), "f: no record of escalation/1: Invalid value - at `$.schema`"),
        (raw(one(*RIGHTS)).replace(b'"priority":"P3"', b'"priority":3'), "Expected `str`, got `int` - at `$.priority`"),
        (b"\n".join(told()), "f: more than one record; give the one to hand over"),
    ],
)
def test_what_is_no_record(content: bytes, said: str) -> None:
    with pytest.raises(Refused) as caught:
        handoff.read_record("f", content)
    assert str(caught.value).startswith(said) or said in str(caught.value)
    assert WORDS not in str(caught.value)


# -- the centre --------------------------------------------------------------------------------------------------------


def test_the_first_routed_body_that_has_a_form() -> None:
    assert sheet(one(*RIGHTS)).body == "ihaho"
    assert sheet(one(*INDUCEMENT)).body == "ihc"
    assert sheet(one("crime_aid")).body == "ihc"  # the police come before it and have no form


def test_what_the_centre_is_told() -> None:
    record = one(*RIGHTS)
    record["dossier"]["spans"] = [
        [0, 2, "defamation"],
        [1, 4, "insult"],
        [3, 99, "privacy"],
        [2, 3, "threat"],
        [-4, 1, "insult"],
        [9, 12, "insult"],
        [4, 2, "insult"],
    ]
    actions = [
        action("request_removal", due_at="2026-11-02T00:00:00Z"),
        action("request_removal", due_at="2026-11-02T00:00:00Z"),
        action("limit_visibility", action_id="a2", automated=False),
        action("remove", post_id="p2", action_id="a3"),
    ]  # fmt: skip
    made = sheet(record, None, Supplied(actions=handoff.read_actions("a", actions)))
    assert values(made) == {
        "url": "https://sns.example/p1",
        "site": "sns.example",
        "place": "p1",
        "posted_at": "2026年11月1日 9時00分（日本時間）",
        "words": WORDS,
        "part": "1〜1文字目: 侮辱・誹謗中傷\n1〜2文字目: 名誉毀損・信用毀損\n2〜4文字目: 侮辱・誹謗中傷\n"
        "4〜5文字目: プライバシー・肖像権侵害",
        "rights": "名誉毀損・信用毀損",
        "concerned": None,
        "standing": "プロバイダー・サイト管理者（自社サービス上の投稿についての相談）",
        "done": "削除要請（自動、期限 2026年11月2日 9時00分（日本時間））\n表示の一時制限（担当者）",
        "wanted": "この投稿の削除について、とるべき方法と手順の助言をお願いします。",
        "contact": None,
    }
    words = next(entry for entry in made.fields if entry.id == "words")
    assert words.masked
    assert words.marks == [(0, 1), (0, 2), (1, 4), (3, 5)]
    assert not any(entry.masked for entry in made.fields if entry is not words)
    assert (made.urgent, made.left_out, made.url_only) == (None, [], False)


def test_what_the_record_does_not_know_is_left_to_a_person() -> None:
    record = one(*RIGHTS, url=None)
    record["dossier"]["post"]["text"] = None
    resealed(record)
    empty = {name for name, value in values(sheet(record)).items() if value is None}
    assert empty == {"url", "site", "words", "part", "concerned", "done", "contact"}


def test_every_field_and_step_says_where_it_is_known_from() -> None:
    for record in (one(*RIGHTS), one(*INDUCEMENT, imminent=True)):
        made = sheet(record)
        for entry in made.fields:
            assert entry.source
            assert set(entry.source) <= set(made.sources)
        notes = [*made.steps, *([made.urgent] if made.urgent else [])]
        used = {key for note in notes for key in note.sources} | {key for entry in made.fields for key in entry.source}
        assert used == set(made.sources)


def test_a_label_that_the_body_does_not_take_is_left_out_and_said_so() -> None:
    record = one(*RIGHTS) | {"categories": ["defamation", "suicide_inducement", "unheard"]}
    made = sheet(record)
    assert values(made)["rights"] == "名誉毀損・信用毀損"
    assert made.left_out == ["自殺の誘引・勧誘・関与・教唆", "unheard"]


def test_an_address_given_by_hand_goes_before_that_of_the_record() -> None:
    made = sheet(one(*RIGHTS), None, Supplied(url="https://other.example/2"))
    assert values(made)["url"] == "https://other.example/2"
    assert values(made)["site"] == "other.example"


@pytest.mark.parametrize(
    ("url", "site"),
    [
        ("https://good.example@evil.example/x", "evil.example"),
        ("HTTP://SNS.EXAMPLE:8080/", "sns.example"),
        ("javascript:alert(1)", None),
        ("//sns.example/p", None),
        ("http://[", None),
        ("https:///p", None),
    ],
)
def test_the_site_is_the_host_of_a_web_address(url: str, site: str | None) -> None:
    made = sheet(one(*RIGHTS, url=url))
    assert values(made)["site"] == site
    assert values(made)["url"] == url


def test_a_bad_line_of_actions_is_named() -> None:
    with pytest.raises(Refused, match=r"a:3: no record of action/1: "):
        handoff.read_actions("a", [action("warn"), b"\n", b"{}"])


# -- the hotline -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", ["suicide_inducement", "crime_aid", "obscene"])
def test_the_hotline_gets_the_address_and_the_category_and_nothing_else_of_the_record(label: str) -> None:
    record = one(label, post_id="post-id-1", author_id="author-1")
    record["dossier"]["spans"] = [[0, 3, label]]
    made = sheet(record, "ihc")
    assert values(made) == {
        "url": "https://sns.example/p1",
        "category": FORMS.forms["ihc"].accepts[label],
        "reporter": "書かない（匿名で通報できる）",
        "comment": "書かない（投稿の本文、投稿者の情報、社内の記録は送らない）",
    }
    assert made.url_only
    shown = json.dumps(_plain(made), ensure_ascii=False)
    assert WORDS not in shown
    assert "post-id-1" not in shown
    assert "2026年11月1日 9時00分（日本時間）" not in json.dumps(_plain(made)["fields"], ensure_ascii=False)


def test_someone_may_die_now_goes_to_110_first() -> None:
    assert sheet(one(*INDUCEMENT)).urgent is None
    urgent = sheet(one(*INDUCEMENT, imminent=True)).urgent
    assert urgent is not None
    assert "先に110番" in urgent.text


# -- nothing else ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [RIGHTS, INDUCEMENT])
def test_neither_author_nor_history_nor_scores_nor_versions_leave(labels: tuple[str, ...]) -> None:
    record = one(*labels, author_id="author-xyzzy", at_ms=AT_MS)
    record |= {"decision_id": "decision-xyzzy", "policy_version": "policy-xyzzy", "model_version": "model-xyzzy"}
    record["reasons"] = ["reason-xyzzy"]
    record["dossier"]["scores"] = {"defamation": 0.123456}
    record["dossier"]["author_history"]["posts"] = 987_654
    shown = json.dumps(_plain(sheet(record)), ensure_ascii=False)
    assert "xyzzy" not in shown
    assert "0.123456" not in shown
    assert "987654" not in shown


def test_the_service_keeps_the_hashes() -> None:
    record = one(*RIGHTS)
    kept = sheet(record).internal
    assert kept.record_sha256 == hashlib.sha256(raw(record)).hexdigest()
    assert (kept.case_id, kept.escalation_id) == (record["case_id"], record["escalation_id"])
    assert kept.evidence_sha256 == record["dossier"]["sha256"]
    assert (kept.revision, kept.collected_at) == (1, "2026年11月1日 9時00分（日本時間）")


def _plain(made: Sheet) -> Json:
    found: Json = msgspec.to_builtins(made)
    return found
