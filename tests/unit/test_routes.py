"""Which bodies a case goes to (案内図), in order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.labels import VIOLATION_IDS
from tests.unit.memory import POLICY
from workers.events import Priority
from workers.routes import routes


def bodies(*labels: str, priority: str = "P3", in_distress: bool = False) -> list[str]:
    return [route.body for route in routes(POLICY, list(labels), Priority(priority), in_distress=in_distress)]


@pytest.mark.parametrize(
    ("label", "found"),
    [
        ("defamation", ["staff", "ihaho", "moj_jinken", "sia_hotline", "houterasu"]),
        ("insult", ["staff", "ihaho", "moj_jinken", "sia_hotline"]),
        ("privacy", ["staff", "ihaho", "moj_jinken", "safeline"]),
        ("threat", ["staff", "police_110", "police_cyber"]),
        ("suicide_inducement", ["staff", "ihc", "safeline"]),
        ("crime_aid", ["staff", "police_cyber", "ihc"]),
        ("obscene", ["staff", "ihc", "safeline"]),
    ],
)
def test_each_label_has_its_bodies_after_staff(label: str, found: list[str]) -> None:
    assert bodies(label) == found
    assert bodies(label, priority="P1") == found


def test_where_it_may_be_now_110_and_119_come_first_after_staff() -> None:
    assert bodies("suicide_inducement", priority="P0") == ["staff", "police_110", "fire_119", "ihc", "safeline"]


def test_several_labels_share_a_body_once() -> None:
    assert bodies("insult", "privacy", "defamation") == [
        "staff",
        "ihaho",
        "moj_jinken",
        "sia_hotline",
        "safeline",
        "houterasu",
    ]
    assert bodies("threat", priority="P0") == ["staff", "police_110", "fire_119", "police_cyber"]


@given(st.lists(st.sampled_from(VIOLATION_IDS)), st.sampled_from(["P0", "P1", "P2", "P3"]))
def test_a_person_in_distress_is_never_sent_to_the_centre_or_a_hotline(labels: list[str], priority: str) -> None:
    urgent = ["police_110", "fire_119"] if priority in ("P0", "P1") else []
    assert bodies(*labels, priority=priority, in_distress=True) == ["staff", *urgent]


def test_rights_never_go_to_the_internet_hotline_center_and_inducement_never_to_the_centre() -> None:
    for label in ("defamation", "insult", "privacy"):
        assert "ihc" not in bodies(label)
    assert "ihaho" not in bodies("suicide_inducement")


def test_a_route_says_whom_to_reach_where_and_why() -> None:
    (staff, center, *_) = routes(POLICY, ["defamation"], Priority.P3, in_distress=False)
    assert (staff.name, staff.contact, staff.why) == (
        "自社の担当者",
        "内部キュー",
        "担当者が内容を確認し判断する",
    )
    assert (center.name, center.contact) == ("違法・有害情報相談センター", "https://www.ihaho.jp/")
    assert center.why.startswith("削除の方法")


def test_a_label_without_bodies_goes_to_staff() -> None:
    assert bodies("distress") == ["staff"]
    assert bodies() == ["staff"]
