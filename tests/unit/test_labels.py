"""The labels are the contract's, word for word, and distress is never a violation."""

from dataclasses import FrozenInstanceError

import pytest

from models.labels import BY_ID, DISTRESS, LABEL_IDS, LABELS, VIOLATION_IDS

# shared/contract.md, Labels. The order is that of every score vector: a checkpoint trained on another is of no use.
CONTRACT = {
    "defamation": "名誉毀損・信用毀損",
    "insult": "侮辱・誹謗中傷",
    "threat": "脅迫",
    "privacy": "プライバシー・肖像権侵害",
    "suicide_inducement": "自殺の誘引・勧誘・関与・教唆",
    "distress": "希死念慮",
    "crime_aid": "犯罪の実行・助長",
    "obscene": "わいせつ・児童の性的搾取",
}


def test_ids_names_and_order() -> None:
    assert [(label.id, label.japanese) for label in LABELS] == list(CONTRACT.items())
    assert list(LABEL_IDS) == list(CONTRACT)
    assert {label_id: label.id for label_id, label in BY_ID.items()} == {label_id: label_id for label_id in CONTRACT}
    assert all(label.meaning for label in LABELS)


def test_distress_is_the_one_label_that_is_no_violation() -> None:
    assert DISTRESS == "distress"
    assert not BY_ID[DISTRESS].violation
    assert list(VIOLATION_IDS) == [label_id for label_id in CONTRACT if label_id != "distress"]
    assert [label.id for label in LABELS if not label.violation] == ["distress"]


def test_labels_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        BY_ID[DISTRESS].violation = True  # type: ignore[misc] # the point of the test
