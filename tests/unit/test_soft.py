"""A teacher's scores as targets: mixed into labels, alone where nobody labelled."""

import json
from pathlib import Path

import pytest

from models import data, soft
from models.classifier import Classifier
from models.labels import LABEL_IDS
from models.soft import Teaching, mixed, scores
from models.train import Recipe, _taught, train
from tests.unit import checkpoints
from tests.unit.test_data import digest_of
from tests.unit.test_train import toy_posts

TEXTS = [f"今日はいい天気{i}" for i in range(5)]


def test_a_share_of_each_target_is_the_teachers() -> None:
    (row,) = mixed([[1.0, 0.0]], [[0.5, 0.2]], 0.25)
    assert row == pytest.approx([0.875, 0.05])


def test_scores_are_the_checkpoints_own(checkpoint: Path) -> None:
    (expected,) = Classifier.load(checkpoint).classify([TEXTS[0]])
    assert scores(checkpoint, TEXTS)[0] == [expected.scores[label] for label in LABEL_IDS]


def test_posts_without_labels_get_the_teachers_word_alone(checkpoint: Path) -> None:
    post = data.LabelledPost("死ね", frozenset({"insult"}), "b")
    (first, mixture), (second, alone) = _taught([post], Teaching(checkpoint, TEXTS[:1]), Recipe(taught=0.5))
    told, unlabelled = soft.scores(checkpoint, ["死ね", TEXTS[0]])
    assert (first, second) == ("死ね", TEXTS[0])
    assert mixture == pytest.approx([(own + one) / 2 for own, one in zip(post.targets, told, strict=True)])
    assert alone == unlabelled


def test_a_student_comes_to_say_what_its_teacher_says(checkpoint: Path, tmp_path: Path) -> None:
    posts = toy_posts(tmp_path / "toy")
    teacher = tmp_path / "teacher"
    train(checkpoint, posts, teacher, Recipe(seed=3, epochs=4, batch=8, rate=1e-3))
    out = tmp_path / "student"
    teaching = Teaching(teacher, TEXTS)
    figures = train(checkpoints.make(tmp_path / "fresh", seed=5), posts, out, Recipe(epochs=4, batch=8), (), teaching)
    assert figures["teacher"] == "teacher"
    assert figures["posts"]["readings"] == figures["posts"]["train"] + len(TEXTS)
    assert json.loads((out / "training.json").read_text("utf-8"))["recipe"]["taught"] == 0.5


def test_posts_to_ask_about_are_neither_labelled_nor_measured_on(tmp_path: Path) -> None:
    texts = [f"書き込み{i}" for i in range(300)]
    known = tmp_path / "real.jsonl"
    known.write_text("".join(json.dumps({"sha256": digest_of(t), "labels": []}) + "\n" for t in texts[:100]), "utf-8")
    found = data.unlabelled(texts, known, 1_000, seed=1)
    assert set(found) == {text for text in texts[100:] if int(digest_of(text), 16) % 6 >= 3}
    assert data.unlabelled(texts, known, 20, seed=1) == data.unlabelled(texts, known, 20, seed=1)
    assert len(data.unlabelled(texts, known, 20, seed=1)) == 20
