"""Text → token ids by fugashi + unidic-lite words and WordPiece: the fast twin of `BertJapaneseTokenizer`.

Gives the ids that `transformers.BertJapaneseTokenizer` gives for the same directory (tests/unit/test_tokenizer.py
compares them), four times as fast, with character offsets, and without the import of transformers. Handles only
word tokenizer `mecab` with `unidic_lite` and subword tokenizer `wordpiece`; `load` says so for any other.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
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
    """Any other tokenizer of a BERT directory, through `transformers`; slower, and imports it."""

    def __init__(self, directory: Path) -> None:
        from transformers import AutoTokenizer

        self._tokenizer = AutoTokenizer.from_pretrained(str(directory))
        self.vocabulary: dict[str, int] = self._tokenizer.get_vocab()
        self.pad, self.unk, self.cls, self.sep = (
            int(i)
            for i in (
                self._tokenizer.pad_token_id,
                self._tokenizer.unk_token_id,
                self._tokenizer.cls_token_id,
                self._tokenizer.sep_token_id,
            )
        )

    def tokenize(self, text: str) -> Tokens:
        """Ids as the tokenizer gives them; offsets found by searching each piece, falling back to its neighbour."""
        pieces = self._tokenizer.tokenize(text)
        lowered = text.lower() if len(text.lower()) == len(text) else text
        offsets: list[tuple[int, int]] = []
        position = 0
        for piece in pieces:
            surface = piece.removeprefix("##")
            start = lowered.find(surface.lower(), position)
            if start < 0:
                start, surface = min(position, max(0, len(text) - 1)), text[position : position + 1] or " "
            offsets.append((start, min(len(text), start + len(surface))))
            position = start + len(surface)
        return Tokens([int(i) for i in self._tokenizer.convert_tokens_to_ids(pieces)], offsets)


def load_tokenizer(directory: Path) -> JapaneseTokenizer | TransformersTokenizer:
    """The fast tokenizer where the directory allows it, else the one `transformers` finds."""
    try:
        return JapaneseTokenizer.load(directory)
    except UnsupportedTokenizer:
        return TransformersTokenizer(directory)
