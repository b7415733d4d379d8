"""Signs that it may be now: expressions put together from a policy's words, looked for in one text. Pure.

Words are named pieces; `{name}` in a word, a sign or an exception stands for the piece of that name, so that each
vocabulary (times, places, means, farewells) stands in the file once. A word may hold those that stand before it.
Exceptions are what is said of another time, of others or of stories: they are taken out of the text before the signs
are looked for, so that a sign beside one is still found.

They find plain phrasings. Whoever hints is met by the score, and by people.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

LONGEST_CHARACTERS: Final = 20_000  # of one expression put together: words in words in words have no other bound
NAME: Final = re.compile("[a-z_]+")
_NAMED: Final = re.compile(rf"\{{({NAME.pattern})\}}")  # a count, {0,6}, starts with a digit
_TAKEN_OUT: Final = "。_。"  # ends a sentence and is no blank: nothing joins over it


@dataclass(frozen=True)
class Signs:
    """As the policy has them; `expressions` are `signs` and then `exceptions`, each put together."""

    words: Mapping[str, str]
    signs: Sequence[str]
    exceptions: Sequence[str]

    @cached_property
    def expressions(self) -> list[str]:
        """Raises as `expand` does."""
        pieces: dict[str, str] = {}
        for name, word in self.words.items():
            pieces[name] = expand(word, pieces)
        return [expand(one, pieces) for one in (*self.signs, *self.exceptions)]

    @cached_property
    def _compiled(self) -> tuple[list[re.Pattern[str]], list[re.Pattern[str]]]:
        """Each by itself: joined, their flags and group numbers would mix."""
        every = [re.compile(one) for one in self.expressions]
        return every[: len(self.signs)], every[len(self.signs) :]

    def seen_in(self, plain_text: str) -> bool:
        """Whether normalised text shows a sign, as it stands or without its blanks and line breaks."""
        signs, exceptions = self._compiled
        for text in dict.fromkeys((plain_text, "".join(plain_text.split()))):
            for exception in exceptions:
                text = exception.sub(_TAKEN_OUT, text)
            if any(sign.search(text) for sign in signs):
                return True
        return False


def names(expression: str) -> list[str]:
    """The words that an expression uses."""
    return _NAMED.findall(expression)


def expand(expression: str, pieces: Mapping[str, str]) -> str:
    """One expression with pieces for names, each a group of its own.

    KeyError names a word that is not there; ValueError: it would grow over LONGEST_CHARACTERS.
    """
    length = len(expression) + sum(len(pieces[name]) for name in names(expression))
    if length > LONGEST_CHARACTERS:
        raise ValueError(f"{length} characters")
    return _NAMED.sub(lambda found: f"(?:{pieces[found[1]]})", expression)
