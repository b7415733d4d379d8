"""Which tokens carry a label, by hiding them: what the label is not flagged without, carried it.

    Step 1  hide each token (in long sequences: each of at most _PIECES pieces) from the attention; how far does every
            logit fall?
    Step 2  for each label, hide the pieces that mattered most together, ever more of them; the fewest that bring the
            score under its limit are the answer, or those that bring it lowest

Why not gradient × embedding, which costs a third: where a score is near 1 the gradient says nothing, and the deletion
test (models.deletion) found its tokens to matter less than random ones.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

import torch

_PIECES: Final = 12
_TOGETHER: Final = (1, 2, 4, 8)  # pieces hidden at once in step 2
_TOKENS_PER_BATCH: Final = 2_048

Run = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # ids and mask, (rows, tokens) → logits (rows, labels)


@dataclass(frozen=True, slots=True)
class Carrier:
    """A sequence, special tokens included, and the logit that flags each of the label columns to explain."""

    ids: Sequence[int]
    limits: Mapping[int, float]


def carried_by(run: Run, pad: int, carriers: Sequence[Carrier]) -> list[dict[int, list[int]]]:
    """For each carrier, column → positions in `ids` (never those of the first and the last token), ascending."""
    pieces = [_pieces(len(carrier.ids)) for carrier in carriers]
    alone = [(i, frozenset(piece)) for i in range(len(carriers)) for piece in ((), *pieces[i])]
    first = dict(zip(alone, _read(run, pad, carriers, alone), strict=True))
    ranked: dict[tuple[int, int], list[frozenset[int]]] = {}
    for i, carrier in enumerate(carriers):
        whole = first[i, frozenset()]
        for column in carrier.limits:
            falls = [(float(whole[column] - first[i, frozenset(piece)][column]), piece) for piece in pieces[i]]
            order = [piece for _, piece in sorted(falls, key=lambda fall: -fall[0])]
            ranked[i, column] = [frozenset(chain(*order[:k])) for k in _TOGETHER if k <= len(order)]
    together = list(dict.fromkeys((i, hidden) for (i, _), sets in ranked.items() for hidden in sets))
    second = dict(zip(together, _read(run, pad, carriers, together), strict=True))
    found: list[dict[int, list[int]]] = [{} for _ in carriers]
    for (i, column), sets in ranked.items():
        logits = [float(second[i, hidden][column]) for hidden in sets]
        enough = (k for k, logit in enumerate(logits) if logit < carriers[i].limits[column])
        if sets:
            found[i][column] = sorted(sets[next(enough, logits.index(min(logits)))])
    return found


def _pieces(length: int) -> list[range]:
    """Positions 1 to length − 2 in at most _PIECES neighbours of equal length, the last perhaps shorter."""
    size = max(1, -(-(length - 2) // _PIECES))
    return [range(start, min(start + size, length - 1)) for start in range(1, length - 1, size)]


def _read(
    run: Run, pad: int, carriers: Sequence[Carrier], rows: Sequence[tuple[int, frozenset[int]]]
) -> list[torch.Tensor]:
    """The logits of each row: a carrier's index and the positions hidden from its attention."""
    found: list[torch.Tensor] = [torch.empty(0)] * len(rows)
    for chosen in _batches([len(carriers[i].ids) for i, _ in rows]):
        width = max(len(carriers[rows[k][0]].ids) for k in chosen)
        ids = torch.full((len(chosen), width), pad)
        mask = torch.zeros((len(chosen), width), dtype=torch.bool)
        for row, k in enumerate(chosen):
            i, hidden = rows[k]
            ids[row, : len(carriers[i].ids)] = torch.tensor(carriers[i].ids)
            mask[row, : len(carriers[i].ids)] = True
            mask[row, list(hidden)] = False
        for k, logits in zip(chosen, run(ids, mask), strict=True):
            found[k] = logits
    return found


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    batch: list[int] = []
    for k in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) + 1) * lengths[k] > _TOKENS_PER_BATCH:
            yield batch
            batch = []
        batch.append(k)
    if batch:
        yield batch
