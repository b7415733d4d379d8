"""The default policy with one place of its text changed, and what is said of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.labels import LABEL_IDS
from workers import policy

DEFAULT: Final = Path(policy.__file__).parent / "policies/default.yml"
TEXT: Final = DEFAULT.read_text("utf-8")
POINTS: Final = dict.fromkeys(LABEL_IDS, 0.5)
HERE: Final = "§"  # stands in the new text where the problem has to be reported; it is not part of it


@dataclass(frozen=True)
class Edited:
    """A changed text, and the line that `HERE` marks."""

    text: str
    line: int

    def told(self) -> list[str]:
        """All problems, one a line."""
        found = policy.examine(self.text, "mine.yml", POINTS)
        return found.told(found.problems)


def edited(before: str, after: str) -> Edited:
    """The default with `before`, which stands there once, replaced by `after`."""
    assert TEXT.count(before) == 1, f"{before!r} stands {TEXT.count(before)} times in the default policy"
    whole = TEXT.replace(before, after)
    assert whole.count(HERE) == 1
    return Edited(whole.replace(HERE, ""), whole[: whole.index(HERE)].count("\n") + 1)
