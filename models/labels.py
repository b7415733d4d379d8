"""The labels: ids, Japanese names and meanings, in the order of every score vector.

Not here: thresholds (a checkpoint's operating points, or policy data) and what follows from a label (policy).
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Label:
    """One head of the classifier."""

    id: str
    japanese: str
    meaning: str
    violation: bool = True


LABELS: Final[tuple[Label, ...]] = (
    Label(
        "defamation",
        "名誉毀損・信用毀損",
        "a checkable claim that lowers an identifiable person's, shop's or firm's standing",
    ),
    Label("insult", "侮辱・誹謗中傷", "contempt, abuse, pile-on; no fact needed"),
    Label("threat", "脅迫", "announced harm to life, body, freedom, honour or property"),
    Label("privacy", "プライバシー・肖像権侵害", "exposes a private person: address, workplace, intimate picture"),
    Label(
        "suicide_inducement",
        "自殺の誘引・勧誘・関与・教唆",
        "seeks company in death, offers means or to do it, urges someone to it, draws others in",
    ),
    Label("distress", "希死念慮", "the writer's own wish to die or self-harm; never a violation", violation=False),
    Label("crime_aid", "犯罪の実行・助長", "recruits for or helps crime"),
    Label("obscene", "わいせつ・児童の性的搾取", "obscene or sexual exploitation of children"),
)

LABEL_IDS: Final[tuple[str, ...]] = tuple(label.id for label in LABELS)
VIOLATION_IDS: Final[tuple[str, ...]] = tuple(label.id for label in LABELS if label.violation)
DISTRESS: Final = "distress"
BY_ID: Final[dict[str, Label]] = {label.id: label for label in LABELS}
