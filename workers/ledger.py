"""Which source offsets are finished: the only thing a commit may cover. Pure.

Faust's own bookkeeping counts a record as acknowledged in places that finish nothing (a message skipped after a
rebalance, a batch whose body raised, gaps with concurrency above one), so workers.app lets commits take their offsets
from here and nowhere else.
"""


class Ledger:
    """Per (topic, partition): the offset after the last record whose outputs were all acknowledged."""

    def __init__(self) -> None:
        self._next: dict[tuple[str, int], int] = {}

    def finish(self, topic: str, partition: int, offset: int) -> None:
        """The record at `offset`, and every one before it, is finished."""
        self._next[topic, partition] = offset + 1

    def next(self, topic: str, partition: int) -> int | None:
        """What may be committed; None where nothing was finished since the partition came."""
        return self._next.get((topic, partition))

    def keep(self, partitions: set[tuple[str, int]]) -> None:
        """Forget every partition but these."""
        self._next = {key: offset for key, offset in self._next.items() if key in partitions}

    def forget(self, partitions: set[tuple[str, int]]) -> None:
        """These are read again from the last commit."""
        for key in partitions:
            self._next.pop(key, None)
