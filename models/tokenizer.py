"""Text → token ids by fugashi + unidic-lite words and WordPiece: the fast twin of `BertJapaneseTokenizer`.

Gives the ids that `transformers.BertJapaneseTokenizer` gives for the same directory (tests/unit/test_tokenizer.py
compares them), four times as fast, with character offsets, and without the import of transformers. Handles only
word tokenizer `mecab` with `unidic_lite` and subword tokenizer `wordpiece`; `load` says so for any other.
"""

import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import fugashi
import unidic_lite
from tokenizers.models import WordPiece

_CACHED_WORDS: Final = 100_000
_MAX_WORD_CHARACTERS: Final = 100  # as in BertJapaneseTokenizer; longer words become [UNK]
_PARTS: Final = re.compile(r"\S+")  # MeCab takes only ASCII white space for such; U+2028 is a word to it


class UnsupportedTokenizer(ValueError):
    """The directory's tokenizer is not MeCab (unidic_lite) + WordPiece."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """Token ids without special tokens, and each token's half-open character range in the text given."""

    ids: list[int]
    offsets: list[tuple[int, int]]


class JapaneseTokenizer:
    """Not thread-safe: MeCab's tagger keeps state; make one per thread."""

    def __init__(self, vocabulary: Sequence[str], *, lower_case: bool) -> None:
        self.vocabulary = {token: i for i, token in enumerate(vocabulary)}
        missing = [token for token in ("[PAD]", "[UNK]", "[CLS]", "[SEP]") if token not in self.vocabulary]
        if missing:
            raise ValueError(f"vocabulary lacks {', '.join(missing)}")
        self.pad, self.unk, self.cls, self.sep = (self.vocabulary[t] for t in ("[PAD]", "[UNK]", "[CLS]", "[SEP]"))
        self.lower_case = lower_case
        self._tagger = fugashi.GenericTagger(f'-d "{unidic_lite.DICDIR}" -r "{unidic_lite.DICDIR}/mecabrc"')
        unknown = "[UNK]"
        self._wordpiece = WordPiece(self.vocabulary, unk_token=unknown, max_input_chars_per_word=_MAX_WORD_CHARACTERS)
        self._cache: dict[str, tuple[tuple[int, int, int], ...]] = {}

    @classmethod
    def load(cls, directory: Path) -> "JapaneseTokenizer":
        """Read vocab.txt and tokenizer_config.json as `BertJapaneseTokenizer.from_pretrained` would."""
        config = json.loads((directory / "tokenizer_config.json").read_text(encoding="utf-8"))
        mecab = config.get("mecab_kwargs") or {}
        found = (
            config.get("word_tokenizer_type") if config.get("do_word_tokenize", True) else None,
            config.get("subword_tokenizer_type", "wordpiece") if config.get("do_subword_tokenize", True) else None,
            mecab.get("mecab_dic", "unidic_lite"),
            mecab.get("mecab_option") or "",
        )
        if found != ("mecab", "wordpiece", "unidic_lite", ""):
            raise UnsupportedTokenizer(f"{directory}: tokenizer is {found}, not mecab + wordpiece + unidic_lite")
        # A line's number is its token's id, so that an empty line counts; the end of the last line is none.
        lines = (directory / "vocab.txt").read_text(encoding="utf-8").removesuffix("\n").split("\n")
        return cls(lines, lower_case=bool(config.get("do_lower_case", False)))

    def words(self, text: str) -> list[tuple[str, int, int]]:
        """MeCab's words with their character ranges; white space is between them."""
        found = []
        position = 0
        for node in self._tagger(text.replace("\0", " ")):  # MeCab would stop at a NUL
            surface = node.surface
            start = text.index(surface, position)
            position = start + len(surface)
            found.append((surface, start, position))
        return found

    def tokenize(self, text: str) -> Tokens:
        """Ids and offsets of `text`, which must be normalised (models.normalize)."""
        ids: list[int] = []
        offsets: list[tuple[int, int]] = []
        for surface, start, _ in self.words(text):
            for token_id, left, right in self._pieces(surface):
                ids.append(token_id)
                offsets.append((start + left, start + right))
        return Tokens(ids, offsets)

    def _pieces(self, surface: str) -> tuple[tuple[int, int, int], ...]:
        cached = self._cache.get(surface)
        if cached is None:
            word = surface.lower() if self.lower_case else surface
            same_length = len(word) == len(surface)
            cached = tuple(
                (token.id, *(self._characters(part, token.offsets) if same_length else (0, len(surface))))
                for part in _PARTS.finditer(word)
                for token in self._wordpiece.tokenize(part[0])
            )
            if len(self._cache) >= _CACHED_WORDS:
                self._cache.clear()
            self._cache[surface] = cached
        return cached

    @staticmethod
    def _characters(part: re.Match[str], byte_range: tuple[int, int]) -> tuple[int, int]:
        raw = part[0].encode()
        left, right = (len(raw[:byte].decode()) for byte in byte_range)
        return part.start() + left, part.start() + right


class TransformersTokenizer:
    """Any other tokenizer of a BERT directory, through `transformers`; slower, and imports it.

    As there, with two differences: a text cannot forge a special token, and what the tokenizer gives up as one unknown
    word because of its length (a sentence without spaces, to a tokenizer made for English) is read in parts.
    """

    def __init__(self, directory: Path) -> None:
        from transformers import AutoTokenizer

        self._tokenizer = AutoTokenizer.from_pretrained(str(directory), local_files_only=True, trust_remote_code=False)
        self.vocabulary: dict[str, int] = self._tokenizer.get_vocab()
        t = self._tokenizer
        special = {"pad": t.pad_token_id, "unk": t.unk_token_id, "cls": t.cls_token_id, "sep": t.sep_token_id}
        missing = [name for name, token_id in special.items() if token_id is None]
        if missing:
            raise ValueError(f"the tokenizer has no {', '.join(missing)} token")
        self.pad, self.unk, self.cls, self.sep = (int(token_id) for token_id in special.values())
        self._special = frozenset(t.all_special_ids)

    def tokenize(self, text: str) -> Tokens:
        """Ids as the tokenizer gives them, with offsets."""
        found = self._read(text)
        ids: list[int] = []
        offsets: list[tuple[int, int]] = []
        for token_id, (start, end) in zip(found.ids, found.offsets, strict=True):
            if token_id != self.unk or end - start <= _MAX_WORD_CHARACTERS:
                ids.append(token_id)
                offsets.append((start, end))
                continue
            for first in range(start, end, _MAX_WORD_CHARACTERS):
                part = self._read(text[first : min(end, first + _MAX_WORD_CHARACTERS)])
                ids += part.ids
                offsets += [(first + left, first + right) for left, right in part.offsets]
        return Tokens(ids, offsets)

    def _read(self, text: str) -> Tokens:
        if not text.strip():
            return Tokens([], [])
        if self._tokenizer.is_fast:
            found = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
            ids = [int(token_id) for token_id in found["input_ids"]]
            offsets = [_not_empty(start, end, len(text)) for start, end in found["offset_mapping"]]
        else:
            pieces = self._tokenizer.tokenize(text)
            ids = [int(token_id) for token_id in self._tokenizer.convert_tokens_to_ids(pieces)]
            known = zip(ids, pieces, strict=True)
            offsets = _search(text, [None if token_id in self._special else piece for token_id, piece in known])
        return Tokens([self.unk if token_id in self._special else token_id for token_id in ids], offsets)


def _search(text: str, pieces: Sequence[str | None]) -> list[tuple[int, int]]:
    """Each piece's range by searching for it; what is not found (None: not worth a search) shares what lies between."""
    folded = _fold(text)
    offsets: list[tuple[int, int]] = []
    position = lost = unknown = 0  # an unknown piece stands for one character at least
    for piece in pieces:
        surface = "" if piece is None else _fold(piece.removeprefix("##").lstrip("▁"))
        start = folded.find(surface, position + unknown) if surface else -1
        if start < 0:
            lost += 1
            unknown += piece is None
            continue
        offsets += _share(text, position, start, lost)
        position, lost, unknown = start + len(surface), 0, 0
        offsets.append((start, position))
    return offsets + _share(text, position, len(text), lost)


def _fold(text: str) -> str:
    """Character by character without case and accents, which some tokenizers take off; as long as before."""
    return "".join(unicodedata.normalize("NFKD", char)[0].lower()[0] for char in text)


def _share(text: str, start: int, end: int, count: int) -> list[tuple[int, int]]:
    """`count` ranges in [start, end): its words if they are as many, else equal parts."""
    if not count:
        return []
    words = [(start + word.start(), start + word.end()) for word in _PARTS.finditer(text[start:end])]
    if len(words) == count:
        return words
    cuts = [start + (end - start) * i // count for i in range(count + 1)]
    return [_not_empty(left, right, len(text)) for left, right in pairwise(cuts)]


def _not_empty(start: int, end: int, length: int) -> tuple[int, int]:
    """The range itself, or the nearest character where it holds none."""
    return (start, end) if start < end else (min(start, length - 1), min(start, length - 1) + 1)


def load_tokenizer(directory: Path) -> JapaneseTokenizer | TransformersTokenizer:
    """The fast tokenizer where the directory allows it, else the one `transformers` finds."""
    try:
        return JapaneseTokenizer.load(directory)
    except UnsupportedTokenizer:
        return TransformersTokenizer(directory)
