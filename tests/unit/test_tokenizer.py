"""The fast tokenizer against `transformers`, id for id, and its offsets against the text."""

import json
import random
import unicodedata
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from models.normalize import plain
from models.tokenizer import JapaneseTokenizer, UnsupportedTokenizer

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
CONFIG: dict[str, Any] = {
    "tokenizer_class": "BertJapaneseTokenizer",
    "word_tokenizer_type": "mecab",
    "subword_tokenizer_type": "wordpiece",
    "mecab_kwargs": {"mecab_dic": "unidic_lite"},
    "do_lower_case": False,
}
POSTS = Path(__file__).parents[2] / "models" / "data" / "posts"

ODD = (
    *("", " ", "\n", "\t", "  あ  い ", "a\nb\tc", "\n\n死\tね\n", "行の終わり\n", "a\u2028b\u2029c d", "\u1680あ"),
    *("\u2028!死", "e\u0301e\u0332", "か\u3099", "##a", "\"'\\", "EOS", "BOS/EOS,*", "\ufffd", "!?!?…。、"),
    *("Wi-Fiタヒった", "iPhone15 Pro Max", "ＡＢＣ１２３", "SHINE Shine shine", "İstanbul ẞ ΑΣ", "ﾊﾝｶｸ"),
    *("👨\u200d👩\u200d👧と🇯🇵と☠️", "🍜🍜🍜", "\U0001fae9あ", "草wwwwwwww", "ーーーー〜〜", "𠮟る 𩸽"),
    *("あ" * 99, "ア" * 100, "ア" * 101, "x" * 100, "x" * 101, "ア" * 5_000, "きゃ" * 700, "1234567890" * 30),
    *("[SEP]", "[MASK]ね", "[UNK] [CLS]", "@user #死にたい", "https://sns.example/p?a=1&b=%E6"),
    *("ไทย", "हिन्दी", "עברית", "Привет мир", "안녕하세요"),
)


def _texts() -> list[str]:
    lines = [line for path in sorted(POSTS.glob("*.jsonl")) for line in path.read_text(encoding="utf-8").splitlines()]
    picked = random.Random(7).sample(lines, min(400, len(lines)))
    posts = [str(json.loads(line)["text"]) for line in picked]
    generator = random.Random(11)
    letters = "".join(posts)[:5_000] + "abcXYZ 　\n\t🍜㌔ⅳ゛ﾞé"
    mixed = ["".join(generator.choices(letters, k=generator.randint(1, 40))) for _ in range(200)]
    return [plain(text).text for text in (*ODD, *posts, *mixed)]


TEXTS = _texts()


def _vocabulary() -> list[str]:
    """Most characters and some longer pieces of the texts; each seventh is left out, for [UNK] to occur."""
    text = "".join(TEXTS)
    # HF's tokenizer takes its special tokens out of a text first; this one must not, so that no post can forge one.
    pieces = sorted({*text, *text.lower()} - set(" \n\t\u2028\u2029\u1680"))
    pieces = [piece for i, piece in enumerate(pieces) if i % 7]
    longer = sorted({text[i : i + size] for size in (2, 3, 4) for i in range(0, len(text) - size, 5)})
    longer = [piece for piece in longer if not any(char.isspace() for char in piece)]
    return [*SPECIAL, "", *pieces, *(f"##{piece}" for piece in pieces), *longer, *(f"##{piece}" for piece in longer)]


def _directory(path: Path, **changes: Any) -> Path:
    path.mkdir(exist_ok=True)
    (path / "vocab.txt").write_text("\n".join(_vocabulary()) + "\n", encoding="utf-8")
    (path / "tokenizer_config.json").write_text(json.dumps(CONFIG | changes), encoding="utf-8")
    return path


@pytest.fixture(scope="module", params=[False, True], ids=["case", "lower"])
def directory(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _directory(tmp_path_factory.mktemp("tokenizer"), do_lower_case=request.param)


def test_ids_are_those_of_transformers(directory: Path) -> None:
    from transformers import BertJapaneseTokenizer

    theirs = BertJapaneseTokenizer.from_pretrained(str(directory))
    ours = JapaneseTokenizer.load(directory)
    special = {ours.pad, ours.cls, ours.sep}
    compared = unknown = 0
    for text in TEXTS:
        got = ours.tokenize(text)
        assert not special & set(got.ids), "no post can forge a special token"
        if any(token in text for token in SPECIAL):
            continue  # transformers takes these for special tokens, wherever a post has them
        assert got.ids == theirs.encode(text, add_special_tokens=False), text[:80]
        compared += len(got.ids)
        unknown += got.ids.count(ours.unk)
    assert compared > 10_000
    assert 0.01 < unknown / compared < 0.5, "the small vocabulary has to be small, and not too small"
    assert (ours.pad, ours.unk, ours.cls, ours.sep) == (
        theirs.pad_token_id,
        theirs.unk_token_id,
        theirs.cls_token_id,
        theirs.sep_token_id,
    )


def test_words_longer_than_a_hundred_are_unknown_as_in_transformers(directory: Path) -> None:
    from transformers import BertJapaneseTokenizer

    # MeCab makes no such word of unidic-lite (25 characters at most); another version of it may.
    theirs = BertJapaneseTokenizer.from_pretrained(str(directory)).subword_tokenizer
    ours = JapaneseTokenizer.load(directory)
    pieces = {i: token for token, i in ours.vocabulary.items()}
    for length in (99, 100, 101):
        for word in ("の" * length, "の" * (length - 1) + "🍜"):
            assert [pieces[token_id] for token_id, _, _ in ours._pieces(word)] == theirs.tokenize(word)


def test_offsets_point_at_the_characters(directory: Path) -> None:
    tokenizer = JapaneseTokenizer.load(directory)
    pieces = {i: token for token, i in tokenizer.vocabulary.items()}
    for text in TEXTS:
        tokens = tokenizer.tokenize(text)
        assert len(tokens.ids) == len(tokens.offsets)
        assert all(0 <= start < end <= len(text) for start, end in tokens.offsets)
        for token_id, (start, end) in zip(tokens.ids, tokens.offsets, strict=True):
            piece = pieces[token_id]
            shown, said = text[start:end], piece.removeprefix("##")
            assert not any(char.isspace() for char in shown)
            if tokenizer.lower_case:  # casefold, since Σ is σ or ς by what stands around it
                shown, said = shown.casefold(), said.casefold()
            # Where lower case is longer (İ), the offsets are those of the word that the piece is in.
            assert piece == "[UNK]" or shown == said or "İ" in text[start:end], (piece, shown)
        if "İ" not in text:
            assert all(before[1] <= after[0] for before, after in pairwise(tokens.offsets))
        seen = {i for start, end in tokens.offsets for i in range(start, end)}
        assert {i for i, char in enumerate(text) if not char.isspace()} <= seen, "no character falls between tokens"


def test_words_cover_every_character_of_unicode(directory: Path) -> None:
    tokenizer = JapaneseTokenizer.load(directory)
    assigned = [chr(code) for code in range(0x20000) if unicodedata.category(chr(code)) not in ("Cn", "Cs", "Co")]
    for i in range(0, len(assigned), 500):
        for joint in ("", "死"):
            text = joint.join(assigned[i : i + 500])
            words = tokenizer.words(text)
            assert all(text[start:end] == word for word, start, end in words)
            left = set(range(len(text))) - {at for _, start, end in words for at in range(start, end)}
            assert {text[at] for at in left} <= set("\x00\t\n\v ")


def test_a_nul_hides_nothing_behind_it(directory: Path) -> None:
    tokenizer = JapaneseTokenizer.load(directory)
    assert tokenizer.words("あ\x00い\x00") == [("あ", 0, 1), ("い", 2, 3)]
    assert tokenizer.words("\x00") == []


def test_words_skip_white_space_and_find_the_right_repetition(directory: Path) -> None:
    tokenizer = JapaneseTokenizer.load(directory)
    assert tokenizer.words("死\n死\t 死 ") == [("死", 0, 1), ("死", 2, 3), ("死", 5, 6)]
    assert tokenizer.words("") == tokenizer.words(" \n\t") == []


def test_words_cached_and_fresh_agree(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = JapaneseTokenizer.load(directory)
    first = [tokenizer.tokenize(text) for text in TEXTS[:100]]
    assert [tokenizer.tokenize(text) for text in TEXTS[:100]] == first
    monkeypatch.setattr("models.tokenizer._CACHED_WORDS", 3)
    small = JapaneseTokenizer.load(directory)
    assert [small.tokenize(text) for text in TEXTS[:100]] == first
    assert len(small._cache) <= 3


@pytest.mark.parametrize(
    "changes",
    [
        {"word_tokenizer_type": "basic"},
        {"word_tokenizer_type": "sudachi"},
        {"word_tokenizer_type": None},
        {"subword_tokenizer_type": "character"},
        {"subword_tokenizer_type": "sentencepiece"},
        {"mecab_kwargs": {"mecab_dic": "ipadic"}},
        {"mecab_kwargs": {"mecab_dic": None, "mecab_option": "-d /opt/dic"}},
        {"mecab_kwargs": {"mecab_option": "-u user.dic"}},
        {"do_word_tokenize": False},
        {"do_subword_tokenize": False},
    ],
)
def test_other_tokenizers_are_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedTokenizer, match=str(tmp_path)):
        JapaneseTokenizer.load(_directory(tmp_path, **changes))


def test_defaults_are_those_of_transformers(tmp_path: Path) -> None:
    _directory(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"word_tokenizer_type": "mecab", "mecab_kwargs": null}')
    assert not JapaneseTokenizer.load(tmp_path).lower_case


def test_a_vocabulary_without_special_tokens_is_refused() -> None:
    with pytest.raises(ValueError, match=r"lacks \[CLS\], \[SEP\]"):
        JapaneseTokenizer(["[PAD]", "[UNK]", "あ"], lower_case=False)
