"""Evasion spellings for training: the same post as someone would write it past a filter.

Models learn that spelling alone tells nothing, because harmless posts are respelt too. Everything is drawn from `rng`.

    kana        a word in kanji written in kana: 死ね → しね, シネ
    apart       a word pulled apart: 死・ね, 死 ね
    masked      one character of a word hidden: 死○
"""

import random
from collections.abc import Callable, Sequence
from typing import Final

import fugashi
import unidic_lite

_KANA_FIELD: Final = 17  # of unidic-lite's features: the reading as written, in katakana
_TO_HIRAGANA: Final = {code: code - 0x60 for code in range(ord("ァ"), ord("ヶ") + 1)}
_SEPARATORS: Final = ("・", " ", ".", "　", "、", "-", "/", "…")
_MASKS: Final = ("○", "〇", "●", "×", "*", "＊")
_WORDS: Final = 2  # at most so many words of a post are respelt
_SHORTEST: Final = 2  # characters of a word that is pulled apart or masked

Word = tuple[str, str]  # surface, reading in katakana or empty


class Respeller:
    """Holds MeCab's tagger; not thread-safe."""

    def __init__(self) -> None:
        self._tagger = fugashi.GenericTagger(f'-d "{unidic_lite.DICDIR}" -r "{unidic_lite.DICDIR}/mecabrc"')

    def respell(self, text: str, rng: random.Random) -> str:
        """`text` with one or two words respelt, or `text` itself where no word can be."""
        words = self._words(text)
        able = [i for i, word in enumerate(words) if _ways(word)]
        chosen = set(rng.sample(able, min(len(able), rng.randint(1, _WORDS))))
        pieces, position = [], 0
        for i, (surface, reading) in enumerate(words):
            start = text.index(surface, position)
            written = rng.choice(_ways((surface, reading)))(surface, reading, rng) if i in chosen else surface
            pieces += [text[position:start], written]
            position = start + len(surface)
        return "".join([*pieces, text[position:]])

    def _words(self, text: str) -> list[Word]:
        found = []
        for node in self._tagger(text.replace("\0", " ")):
            features = node.feature
            reading = features[_KANA_FIELD] if len(features) > _KANA_FIELD else ""
            found.append((node.surface, "" if reading == "*" else reading))
        return found


Way = Callable[[str, str, random.Random], str]


def _ways(word: Word) -> Sequence[Way]:
    surface, reading = word
    ways: list[Way] = []
    if reading and any("一" <= char <= "鿿" for char in surface):
        ways += [_kana, _kana]  # the commonest of the three
    if len(surface) >= _SHORTEST and not surface.isascii():
        ways += [_apart, _masked]
    return ways


def _kana(surface: str, reading: str, rng: random.Random) -> str:
    return reading if rng.random() < 0.4 else reading.translate(_TO_HIRAGANA)


def _apart(surface: str, reading: str, rng: random.Random) -> str:
    return rng.choice(_SEPARATORS).join(surface)


def _masked(surface: str, reading: str, rng: random.Random) -> str:
    hidden = rng.randrange(len(surface))
    return surface[:hidden] + rng.choice(_MASKS) + surface[hidden + 1 :]
