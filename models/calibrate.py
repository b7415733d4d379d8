"""From logits on validation to calibrated scores and operating points: steps 3 and 4 of models.train.

Arrays have shape (posts, labels) or, for one label, (posts,).
"""

from typing import Final

import torch
from torch.nn import functional

from models.labels import LABEL_IDS

# A miss's cost against a false alarm's: F-beta's beta squared. A missed inducement is the worst bug there is.
MISS_COST: Final = {"suicide_inducement": 2.0, "distress": 2.0, "threat": 1.5}
# Share of harmless validation posts that one label may flag: 8 labels, and of real posts nearly all are harmless.
# Insult is by far the commonest violation and leads to a warning first: at 1 % two insults in three were missed.
_ALARM_CAP: Final = dict.fromkeys(LABEL_IDS, 0.01) | {"insult": 0.03, "suicide_inducement": 0.015, "distress": 0.015}
_ENOUGH_POSITIVES: Final = 15
_THRESHOLD_RANGE: Final = (0.2, 0.9)
# Below these an operating point costs more than it finds. Distress is inducement's nearest neighbour: under 0.4 more
# people in distress are held back than inducers found. Care alone does no harm, so distress has none.
_FLOORS: Final = dict.fromkeys(LABEL_IDS, 0.3) | {"suicide_inducement": 0.4, "distress": 0.2}


def platt(logits: torch.Tensor, targets: torch.Tensor) -> tuple[float, float]:
    """One label's slope and intercept of least log loss, drawn towards (1, 0) where there is little to learn from."""
    parameters = torch.tensor([1.0, 0.0], requires_grad=True)
    optimizer = torch.optim.LBFGS([parameters], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        bent = logits * parameters[0] + parameters[1]
        loss = functional.binary_cross_entropy_with_logits(bent, targets, reduction="sum")
        loss = loss + (parameters[0] - 1) ** 2 + 0.1 * parameters[1] ** 2
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    slope, intercept = parameters.tolist()
    return round(max(slope, 0.05), 4), round(intercept, 4)


def operating_points(scores: torch.Tensor, targets: torch.Tensor) -> dict[str, float]:
    """Each label's threshold on validation; both arrays (posts, labels)."""
    harmless = targets.sum(1) == 0
    return {
        label: max(
            _FLOORS[label],
            operating_point(scores[:, i], targets[:, i], MISS_COST.get(label, 1.0), harmless, _ALARM_CAP[label]),
        )
        for i, label in enumerate(LABEL_IDS)
    }


def operating_point(
    scores: torch.Tensor, targets: torch.Tensor, miss_cost: float, harmless: torch.Tensor, alarm_cap: float
) -> float:
    """One label's threshold with the best F-beta, beta² = `miss_cost`, among those that flag at most the share
    `alarm_cap` of the `harmless` posts (the strictest where none does); of equals the one in the middle.

    A label with too few positives to tell keeps 0.5, where a calibrated score is as likely right as wrong.
    """
    if int(targets.sum()) < _ENOUGH_POSITIVES:
        return 0.5
    candidates = torch.arange(_THRESHOLD_RANGE[0], _THRESHOLD_RANGE[1] + 1e-6, 0.01)
    if bool(harmless.any()):
        within = torch.stack([(scores[harmless] >= c).float().mean() <= alarm_cap for c in candidates])
        candidates = candidates[within] if bool(within.any()) else candidates[-1:]
    values = []
    for threshold in candidates:
        flagged = scores >= threshold
        hit = float((flagged & (targets > 0)).sum())
        false, missed = float((flagged & (targets == 0)).sum()), float((~flagged & (targets > 0)).sum())
        values.append((1 + miss_cost) * hit / max(1e-9, (1 + miss_cost) * hit + miss_cost * missed + false))
    table = torch.tensor(values)
    equals = candidates[table >= table.max() - 1e-9]
    return round(float(equals[len(equals) // 2]), 2)
