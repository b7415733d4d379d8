"""What a checkpoint is measured against, on the same posts: a word list, and character tf-idf with logistic regression.

The word list is what many services start with. The other is the strongest thing that needs no language model; it is
trained on the same posts and gets its operating points on validation by the same rule. Needs scikit-learn (extra
`train`).
"""

import re
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch

from models.calibrate import operating_points
from models.data import LabelledPost
from models.labels import LABEL_IDS
from models.normalize import folded

_WORDS: Final[dict[str, str]] = {
    "defamation": "詐欺|横領|不倫|前科|逮捕|偽装|ぼったくり|着服|不正",
    "insult": "死ね|しね|バカ|馬鹿|アホ|クズ|カス|ゴミ|きもい|キモい|ブス|無能|消えろ",
    "threat": "殺す|ころす|殺してやる|ぶっ殺|燃やす|刺す|覚悟しろ|ただじゃ",
    "privacy": "住所|電話番号|本名|特定した|晒す|勤務先",
    "suicide_inducement": "一緒に死|一緒に逝|心中|自殺しろ|自殺しよう|死ねば",
    "distress": "死にたい|消えたい|いなくなりたい|自殺したい|生きるのがつらい|リスカ",
    "crime_aid": "高額バイト|闇バイト|受け子|出し子|口座買|口座売|運び|手押し|野菜",
    "obscene": "援|パパ活|裏垢|エロ|ロリ|児ポ|盗撮",
}
_GRAMS: Final = (1, 4)  # characters


class WordList:
    """Flags a label when one of its words stands in the text."""

    version = "word list"
    thresholds: Final = dict.fromkeys(LABEL_IDS, 0.5)

    def scores(self, texts: Sequence[str]) -> list[dict[str, float]]:
        """1 or 0 for each label."""
        found = []
        for text in texts:
            read = folded(text)
            found.append({label: float(bool(re.search(_WORDS[label], read))) for label in LABEL_IDS})
        return found


class TfIdf:
    """Character n-grams, tf-idf, one logistic regression a label."""

    version = "character tf-idf + logistic regression"

    def __init__(self, training: Sequence[LabelledPost], validation: Sequence[LabelledPost], seed: int = 1) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.multiclass import OneVsRestClassifier
        from sklearn.pipeline import make_pipeline

        self._model: Any = make_pipeline(
            TfidfVectorizer(analyzer="char", ngram_range=_GRAMS, min_df=2, sublinear_tf=True),
            OneVsRestClassifier(LogisticRegression(C=10.0, max_iter=1_000, random_state=seed)),
        )
        self._model.fit([folded(post.text) for post in training], np.array([post.targets for post in training]))
        scores = torch.from_numpy(self._probabilities([post.text for post in validation]))
        targets = torch.tensor([post.targets for post in validation])
        self.thresholds = operating_points(scores, targets)

    def _probabilities(self, texts: Sequence[str]) -> Any:
        return self._model.predict_proba([folded(text) for text in texts])

    def scores(self, texts: Sequence[str]) -> list[dict[str, float]]:
        """Probabilities of each label."""
        return [
            {label: float(score) for label, score in zip(LABEL_IDS, row, strict=True)}
            for row in self._probabilities(texts)
        ]
