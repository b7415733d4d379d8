"""The path from texts to calibrated scores and spans, on a tiny checkpoint with random weights."""

import math
import random
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from models import classifier as classifier_module
from models.classifier import Classifier, Prediction
from models.labels import LABEL_IDS
from models.normalize import canonical, plain
from models.tokenizer import JapaneseTokenizer, TransformersTokenizer
from tests.unit import checkpoints
from workers.events import MAX_TEXT_CHARACTERS

ALL = dict.fromkeys(LABEL_IDS, 0.0)  # every label is over its threshold
NONE = dict.fromkeys(LABEL_IDS, 1.01)
MOVED_AT_MOST = 1e-4

SENTENCES = (
    *("今日はいい天気です", "店長は来い", "もう死にたい", "一緒に死ねる人いますか", "横浜市の公園で待つ"),
    *(
        "お前の住所は田中村",
        "消えろ!!!",
        "ご飯を食べたいな。",
        "abc 123",
        "死ね😂",
        "嫌なら見るな",
        "電話番号は0123456",
    ),
)
ODD = {
    "empty": "",
    "space": " 　\n\t",
    "emoji": "😂💀🔪👨\u200d👩\u200d👧🇯🇵",
    "control characters": "\x01\x02\x1f\x7f\x85",
    "invisible": "\u200b\u200d\ufeff\u2060\U000e0041",
    "foreign": "Привет мир ไทย हिन्दी עברית 안녕하세요 İstanbul",
    "NUL": "死\0ね\0",
    "only NUL": "\0\0",
    "lone surrogates": "死\ud83dね\udc4d",
    "only a surrogate": "\ud83d",
    "special tokens": "[SEP][CLS] [MASK] [PAD] [UNK]",
    "one long word": "あ" * 500,
    "combining": "e" + "\u0301" * 300 + "か\u3099",
    "noncharacters": "\ufffe\uffff\U0010ffff",
    "line ends": "死\u2028ね\u2029\x0b\x0c\r\n。",
}


@pytest.fixture(scope="module")
def classifier(checkpoint: Path) -> Classifier:
    return Classifier.load(checkpoint, torch.float32)


def many(count: int) -> list[str]:
    """Texts of one to three hundred characters, none twice."""
    rng = random.Random(5)
    texts = ["".join(rng.choices(SENTENCES, k=rng.choice([1, 1, 1, 2, 3, 8, 30]))) for _ in range(count)]
    return [f"{i % 10}{text}{i}" for i, text in enumerate(texts)]


def check(text: str, found: Prediction) -> None:
    """What holds for the answer to any text."""
    assert tuple(found.scores) == LABEL_IDS
    assert all(0 <= score <= 1 for score in found.scores.values())
    assert found.spans == sorted(found.spans)
    for span in found.spans:
        assert 0 <= span.start < span.end <= len(text)
        assert span.label in LABEL_IDS
    for label in LABEL_IDS:
        ranges = [(span.start, span.end) for span in found.spans if span.label == label]
        assert all(end < start for (_, end), (start, _) in pairwise(ranges)), "spans touch"


def furthest(one: Prediction, other: Prediction) -> float:
    return max(abs(one.scores[label] - other.scores[label]) for label in LABEL_IDS)


def test_every_label_has_a_probability(classifier: Classifier) -> None:
    texts = many(60)
    found = classifier.classify(texts, ALL)
    assert len(found) == len(texts)
    for text, one in zip(texts, found, strict=True):
        check(text, one)
    assert len({tuple(one.scores.values()) for one in found}) > 50, "scores that do not differ would hide a mix-up"


def test_no_texts(classifier: Classifier) -> None:
    assert classifier.classify([]) == []


def test_order_is_kept_and_the_batch_moves_no_score(classifier: Classifier) -> None:
    texts = many(150)
    alone = [classifier.classify([text], NONE)[0] for text in texts]
    together = classifier.classify(texts, NONE)
    assert max(map(furthest, alone, together)) <= MOVED_AT_MOST
    turned = classifier.classify(texts[::-1], NONE)[::-1]
    assert max(map(furthest, alone, turned)) <= MOVED_AT_MOST
    beside_long = classifier.classify([texts[0], "長い文" * 5_000, *texts[1:]], NONE)
    del beside_long[1]
    assert max(map(furthest, alone, beside_long)) <= MOVED_AT_MOST


def test_scores_are_those_of_transformers_calibrated(checkpoint: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer, BertForSequenceClassification

    calibration = {label: [0.5 + i / 4, i / 3 - 1] for i, label in enumerate(LABEL_IDS)}
    copy = checkpoints.copy(checkpoint, tmp_path / "c", calibration=calibration)
    tokenizer = AutoTokenizer.from_pretrained(str(copy))
    model = BertForSequenceClassification.from_pretrained(str(copy), dtype=torch.float32).eval()
    texts = [text for text in SENTENCES if canonical(plain(text)).text == text]
    with torch.inference_mode():
        logits = model(**tokenizer(texts, padding=True, return_tensors="pt")).logits.tolist()
    found = Classifier.load(copy, torch.float32).classify(texts)
    for row, one in zip(logits, found, strict=True):
        for logit, (label, (slope, intercept)) in zip(row, calibration.items(), strict=True):
            assert one.scores[label] == pytest.approx(1 / (1 + math.exp(-(slope * logit + intercept))), abs=2e-4)


def test_labels_in_another_order_are_not_mixed_up(checkpoint: Path, tmp_path: Path) -> None:
    """The same weights under turned names must give the same numbers under turned names."""
    order = LABEL_IDS[3:] + LABEL_IDS[:3]
    calibration = {label: [1.0, 0.1 * i] for i, label in enumerate(LABEL_IDS)}
    renamed = dict(zip(LABEL_IDS, order, strict=True))
    straight = checkpoints.copy(checkpoint, tmp_path / "a", calibration=calibration)
    turned = checkpoints.copy(
        checkpoint, tmp_path / "b", calibration={renamed[label]: pair for label, pair in calibration.items()}
    )
    checkpoints.change_json(turned / "config.json", id2label={str(i): label for i, label in enumerate(order)})
    texts = many(5)
    found = Classifier.load(straight, torch.float32).classify(texts, ALL)
    other = Classifier.load(turned, torch.float32).classify(texts, ALL)
    for one, two in zip(found, other, strict=True):
        assert tuple(two.scores) == LABEL_IDS
        assert {renamed[label]: score for label, score in one.scores.items()} == two.scores
        assert {(s, e, renamed[label]) for s, e, label in one.spans} == set(two.spans)


@pytest.mark.parametrize("text", ODD.values(), ids=ODD.keys())
def test_any_string_is_answered(classifier: Classifier, text: str) -> None:
    (found,) = classifier.classify([text], ALL)
    check(text, found)
    beside = classifier.classify(["今日はいい天気です", text, "死ね"], ALL)
    assert furthest(found, beside[1]) <= MOVED_AT_MOST


def test_what_cannot_be_seen_is_as_if_it_were_not_there(classifier: Classifier) -> None:
    seen, hidden = classifier.classify(["死にたい", "死\u200bに\ufeffた\ud83dい"])
    assert furthest(seen, hidden) <= MOVED_AT_MOST


@pytest.mark.parametrize("piece", ["死にたい。今日は天気がいい ", "あ", "😂", "x", "し・ね ", "\u200b"])
def test_the_longest_text(classifier: Classifier, piece: str) -> None:
    text = (piece * MAX_TEXT_CHARACTERS)[:MAX_TEXT_CHARACTERS]
    (found,) = classifier.classify([text], ALL)
    check(text, found)


def test_the_end_of_a_long_text_is_read(classifier: Classifier) -> None:
    """A text's score is the highest over its windows, so nothing buried in it can lower what is found."""
    filling = "今日はいい天気です。" * 300
    (without,) = classifier.classify([filling])
    higher = 0
    for ending in SENTENCES:
        (with_ending,) = classifier.classify([filling + ending], ALL)
        rises = {
            label: with_ending.scores[label] - without.scores[label]
            for label in LABEL_IDS
            if with_ending.scores[label] > without.scores[label] + 0.01
        }
        for label in rises:
            higher += 1
            assert any(s.start >= len(filling) - 200 for s in with_ending.spans if s.label == label)
    assert higher, "no ending that rises: the test shows nothing"


def test_both_readings_count(classifier: Classifier) -> None:
    text = "タヒね"
    read = plain(text)
    folded = canonical(read).text
    assert folded != read.text
    (found,) = classifier.classify([text])
    (as_folded,) = classifier.classify([folded])
    assert all(found.scores[label] >= as_folded.scores[label] - MOVED_AT_MOST for label in LABEL_IDS)


def test_spans_only_for_labels_over_their_thresholds(classifier: Classifier, checkpoint: Path, tmp_path: Path) -> None:
    texts = many(30)
    assert not any(one.spans for one in classifier.classify(texts, NONE))
    for one in classifier.classify(texts, {**NONE, "privacy": 0.0}):
        assert {span.label for span in one.spans} == {"privacy"}
    for one in classifier.classify(texts):
        assert {span.label for span in one.spans} == {name for name, score in one.scores.items() if score >= 0.5}
    first = classifier.classify(texts[:1], ALL)[0]
    assert {span.label for span in first.spans} == set(LABEL_IDS)
    exactly = {**NONE, "insult": first.scores["insult"]}  # a score on the threshold is over it, as it is flagged
    assert {span.label for span in classifier.classify(texts[:1], exactly)[0].spans} == {"insult"}
    own = checkpoints.copy(checkpoint, tmp_path / "c", thresholds={"threat": 1e-6} | dict.fromkeys(LABEL_IDS[3:], 1e-6))
    for one in Classifier.load(own, torch.float32).classify(texts):
        assert {span.label for span in one.spans} >= {"threat", *LABEL_IDS[3:]}


@pytest.mark.parametrize(
    "text",
    [
        "今\u200b日\u200bは\ufeffいい天気",
        "ﾊﾞｶは死にたいです",
        "ＡＢＣ　１２３死ね",
        "㌔を食べたい",
        "死\u200bにたいｶﾞｷﾞｸﾞ\u2060です",
        "か\u3099いいです",
    ],
)
def test_spans_lead_back_to_the_original(classifier: Classifier, text: str) -> None:
    """Spans of the text as a reader sees it, taken back, are the spans of the text as it was written."""
    read = plain(text)
    assert read.text != text
    assert canonical(read) is read
    (written,), (seen,) = classifier.classify([text], ALL), classifier.classify([read.text], ALL)
    check(text, written)
    visible = {i for start, end in read.ranges for i in range(start, end)} - {
        i for i, char in enumerate(text) if not plain(char).text and char != "\u3099"
    }
    for label in LABEL_IDS:
        expected = {
            i
            for span in seen.spans
            if span.label == label
            for at in range(span.start, span.end)
            for i in range(*read.original(at, at + 1))
        }
        found = {i for span in written.spans if span.label == label for i in range(span.start, span.end)}
        assert found & visible == expected & visible
        assert expected & visible


def test_spans_of_an_alias_cover_its_spelling(classifier: Classifier) -> None:
    text = "\u200bおい、タ\u200bヒねよ"
    (found,) = classifier.classify([text], ALL)
    check(text, found)
    assert any(span.end > text.index("タ") for span in found.spans)


def test_a_character_tokenizer_loads_through_transformers(checkpoint: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    copy = checkpoints.copy(checkpoint, tmp_path / "c")
    checkpoints.change_json(copy / "tokenizer_config.json", subword_tokenizer_type="character")
    classifier = Classifier.load(copy, torch.float32)
    assert isinstance(classifier.tokenizer, TransformersTokenizer)
    theirs = AutoTokenizer.from_pretrained(str(copy))
    for text in SENTENCES:
        read = plain(text).text
        assert classifier.tokenizer.tokenize(read).ids == theirs(read, add_special_tokens=False)["input_ids"]
    texts = [*SENTENCES, *ODD.values(), "死ねよ" * 2_000, "ﾊﾞｶは\u200b死にたい"]
    for text, one in zip(texts, classifier.classify(texts, ALL), strict=True):
        check(text, one)
    spans = classifier.classify(["ﾊﾞｶは\u200b死にたい"], ALL)[0].spans
    assert spans
    assert not any(span.start == 1 or span.end == 1 for span in spans), "half of a letter"


def test_the_fast_tokenizer_is_the_usual_one(classifier: Classifier) -> None:
    assert isinstance(classifier.tokenizer, JapaneseTokenizer)


def test_bf16_is_near_and_answers_everything(classifier: Classifier, checkpoint: Path) -> None:
    coarse = Classifier.load(checkpoint, torch.bfloat16)
    texts = [*many(20), *ODD.values()]
    for text, one, two in zip(texts, classifier.classify(texts), coarse.classify(texts, ALL), strict=True):
        check(text, two)
        assert furthest(one, two) < 0.1


def test_version_is_the_checkpoints(classifier: Classifier, checkpoint: Path) -> None:
    assert classifier.version == classifier.checkpoint.version
    assert Classifier.load(checkpoint).version == classifier.version


def test_fewer_bits_are_used_only_while_the_scores_stay(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier_module, "_best_dtype", lambda: (torch.bfloat16, "told so"))
    assert Classifier.load(checkpoint).dtype is torch.bfloat16
    monkeypatch.setattr(Classifier, "_difference", lambda self, exact: 0.021)
    careful = Classifier.load(checkpoint)
    assert careful.dtype is torch.float32
    exact = Classifier.load(checkpoint, torch.float32)
    assert careful.classify(["死ね"])[0].scores == exact.classify(["死ね"])[0].scores
    monkeypatch.setattr(Classifier, "_difference", lambda self, exact: float("nan"))
    assert Classifier.load(checkpoint).dtype is torch.float32


def test_the_difference_to_the_exact_twin_is_seen(checkpoint: Path) -> None:
    classifier = Classifier.load(checkpoint, torch.float32)
    bent = Classifier.load(checkpoint, torch.float32).encoder
    assert classifier._difference(bent) == 0.0
    bent._weights["classifier.bias"] += 1.0
    assert classifier._difference(bent) > 0.1
