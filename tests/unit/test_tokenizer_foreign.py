"""Tokenizers other than ours, through `transformers`: the same ids, ranges in the text, and nothing of it lost."""

import json
import random
from pathlib import Path
from typing import Any
from unicodedata import combining

import pytest
import torch

from models.checkpoint import CheckpointError
from models.classifier import Classifier
from models.labels import LABEL_IDS
from models.normalize import plain
from models.tokenizer import Tokens, TransformersTokenizer
from tests.unit import checkpoints

POSTS = Path(__file__).parents[2] / "models" / "data" / "posts"
EVERYTHING = dict.fromkeys(LABEL_IDS, 1e-9)  # thresholds that every score is over
CHANGES: dict[str, dict[str, Any]] = {
    "character": {"subword_tokenizer_type": "character"},
    "basic": {"word_tokenizer_type": "basic", "mecab_kwargs": None, "do_lower_case": False},
    "lower": {"word_tokenizer_type": "basic", "mecab_kwargs": None, "do_lower_case": True},
    "bert": {  # with one of these, everything is done in Rust and offsets come from there
        "tokenizer_class": "BertTokenizer",
        "word_tokenizer_type": None,
        "subword_tokenizer_type": None,
        "mecab_kwargs": None,
        "do_lower_case": True,
    },
}
ODD = (
    *("", " \n\t", "😂💀", "🫠" * 150, "\x01\x1b死", "\u200b\u200d", "死\x00ね\x00", "\x00", "死\ud800ね\udfff"),
    *("ไทย हिन्दी עברית Привет 안녕하세요", "İstanbul ẞ", "死" + "\u0301" * 150 + "ね", "x" * 900, "ア" * 900),
    *("[SEP][CLS]死ね[PAD][MASK][UNK]", "薔薇の花が[UNK]ほしい", "か゛が ヴ", "café cafe", "\ufffe\U0010ffff", "ｼﾈ ㌔"),
    *("##", "▁", "\udfff"),
)


def foreign(checkpoint: Path, to: Path, name: str) -> Path:
    copy = checkpoints.copy(checkpoint, to)
    checkpoints.change_json(copy / "tokenizer_config.json", **CHANGES[name])
    return copy


@pytest.fixture(scope="module", params=CHANGES)
def directory(request: pytest.FixtureRequest, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return foreign(checkpoint, tmp_path_factory.mktemp("foreign") / request.param, request.param)


def texts(count: int) -> list[str]:
    """Written posts, as the classifier reads them; some joined, without a line end or space between."""
    lines = [line for path in sorted(POSTS.glob("*.jsonl")) for line in path.read_text("utf-8").split("\n") if line]
    picked = [str(json.loads(line)["text"]) for line in random.Random(4).sample(lines, count)]
    return [plain("".join(picked[i : i + 9]) if i % 10 == 0 else text).text for i, text in enumerate(picked)]


def test_a_directory_is_classified(directory: Path) -> None:
    classifier = Classifier.load(directory, torch.float32)
    assert isinstance(classifier.tokenizer, TransformersTokenizer)
    read = [*ODD, *texts(20)]
    found = classifier.classify(read, EVERYTHING)
    assert len({tuple(one.scores.values()) for one in found}) > 20
    for text, one in zip(read, found, strict=True):
        assert all(0 <= score <= 1 for score in one.scores.values())
        assert all(0 <= start < end <= len(text) for start, end, _ in one.spans)
        assert {span.label for span in one.spans} == (set(LABEL_IDS) if plain(text).text.strip() else set())


def test_ids_are_those_of_transformers(directory: Path) -> None:
    from transformers import AutoTokenizer

    ours, theirs = TransformersTokenizer(directory), AutoTokenizer.from_pretrained(str(directory))
    compared = 0
    for text in texts(200):
        expected = theirs.encode(text, add_special_tokens=False)
        if theirs.unk_token_id in expected and any(len(word) > 100 for word in text.split()):
            continue  # there the long word is lost; below
        assert ours.tokenize(text).ids == expected
        compared += 1
    assert compared > 150
    assert (ours.pad, ours.unk, ours.cls, ours.sep) == (
        theirs.pad_token_id,
        theirs.unk_token_id,
        theirs.cls_token_id,
        theirs.sep_token_id,
    )


def test_offsets_point_at_the_characters(directory: Path) -> None:
    tokenizer = TransformersTokenizer(directory)
    pieces = {i: token for token, i in tokenizer.vocabulary.items()}
    right = total = between = characters = 0
    for text in [*texts(200), *(plain(text).text for text in ODD)]:
        tokens = tokenizer.tokenize(text)
        assert len(tokens.ids) == len(tokens.offsets)
        for token_id, (start, end) in zip(tokens.ids, tokens.offsets, strict=True):
            assert 0 <= start < end <= len(text)
            if token_id != tokenizer.unk:
                total += 1
                right += text[start:end].lower() == pieces[token_id].removeprefix("##")
        seen = {i for start, end in tokens.offsets for i in range(start, end)}
        lost = [i for i, char in enumerate(text) if i not in seen and not (char.isspace() or combining(char))]
        assert len(lost) <= max(1, len(text) // 10)  # where a word is unknown, its place is a guess
        between, characters = between + len(lost), characters + len(text)
    assert between < characters / 100, "hardly a character falls between tokens"
    assert total > 2_000
    assert right > 0.9 * total  # not all: two of them take the accents off, が is か to them


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("character", "薔薇の花が[UNK]ほしい", ["薔", "薇", "の", "花", "が", "[UNK]", "ほ", "し", "い"]),
        ("character", "死 [SEP]ね", ["死", "[SEP]", "ね"]),
        ("basic", "薔薇 の 花 が", ["薔薇", "の", "花", "が"]),
        ("basic", "猫 薔薇 死ね", ["猫", "薔薇", "死ね"]),
        ("basic", "café cafe", ["café", "c", "a", "f", "e"]),
        ("lower", "ABCがぎc", ["A", "B", "C", "が", "ぎ", "c"]),
        ("bert", "猫と死は[UNK]が", ["猫", "と", "死", "は", "[UNK]", "が"]),
    ],
)
def test_what_is_unknown_has_its_place(
    checkpoint: Path, tmp_path: Path, name: str, text: str, expected: list[str]
) -> None:
    tokens = TransformersTokenizer(foreign(checkpoint, tmp_path / "c", name)).tokenize(text)
    assert [text[start:end] for start, end in tokens.offsets] == expected


def test_no_text_forges_a_special_token(directory: Path) -> None:
    tokenizer = TransformersTokenizer(directory)
    tokens = tokenizer.tokenize("[SEP] 死ね [PAD][CLS] [MASK] ね")
    forged = {tokenizer.pad, tokenizer.cls, tokenizer.sep, tokenizer.vocabulary["[MASK]"]}
    assert not forged & set(tokens.ids)
    assert {tokenizer.vocabulary["ね"], tokenizer.unk} <= set(tokens.ids)


@pytest.mark.parametrize(
    "text", ["あ" * 300 + "死ね", "今日は" * 200, "x" * 101, "あ" * 150 + "。" + "い" * 150, "死" + "ー" * 100]
)
def test_a_long_word_is_read_in_parts(directory: Path, text: str) -> None:
    """A tokenizer made for words between spaces gives up one over 100 characters: a whole post without a comma."""
    tokenizer = TransformersTokenizer(directory)
    tokens = tokenizer.tokenize(text)
    assert tokenizer.unk not in tokens.ids
    assert "".join(text[start:end] for start, end in tokens.offsets) == text


def test_a_tokenizer_that_cuts_and_pads_does_neither_here(checkpoint: Path, tmp_path: Path) -> None:
    """tokenizer.json may hold truncation: a long text would be read to its eighth token and no further."""
    from transformers import AutoTokenizer

    copy = foreign(checkpoint, tmp_path / "bert", "bert")
    AutoTokenizer.from_pretrained(str(copy)).save_pretrained(str(copy))
    found = json.loads((copy / "tokenizer.json").read_text("utf-8"))
    found["truncation"] = {"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0}
    found["padding"] = {
        "strategy": {"Fixed": 16},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "[PAD]",
    }
    (copy / "tokenizer.json").write_text(json.dumps(found), "utf-8")
    tokenizer = TransformersTokenizer(copy)
    assert len(tokenizer.tokenize("死 ね " * 50).ids) == 100
    assert len(tokenizer.tokenize("死").ids) == 1


def test_code_that_comes_with_a_directory_is_not_run(checkpoint: Path, tmp_path: Path) -> None:
    """Nor is it asked about on stdin, which holds the posts to classify."""
    copy = foreign(checkpoint, tmp_path / "c", "character")
    checkpoints.change_json(
        copy / "tokenizer_config.json",
        tokenizer_class="OwnTokenizer",
        auto_map={"AutoTokenizer": ["own.OwnTokenizer", None]},
    )
    (copy / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n", "utf-8")
    with pytest.raises(CheckpointError, match=r"tokenizer_config\.json"):
        Classifier.load(copy, torch.float32)
    assert not (tmp_path / "ran").exists()


def test_an_empty_text_has_no_tokens(directory: Path) -> None:
    tokenizer = TransformersTokenizer(directory)
    assert tokenizer.tokenize("") == tokenizer.tokenize(" ") == Tokens([], [])
