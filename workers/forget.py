"""Entries are remembered for the policy's `remember_days`, then forgotten, so that the table does not grow for ever.

Each batch notes the entries it wrote on a page of the day; forgetting reads one page at a time and never scans. With
the entry of its latest revision goes the row of a post that nothing stands on: never flagged, no case, no action, no
clock. Authors, and posts with a history, stay.
"""

from typing import Final, Protocol

from workers.events import Action
from workers.state import BucketIndex, Page, PostRow, Written, dump, latest_revision_key, parse

DAY_MS: Final = 86_400_000
_DAYS_KEY: Final = "f"


class Rows(Protocol):
    """The rows of one table."""

    def get(self, partition: int, key: str) -> bytes | None: ...
    def put(self, partition: int, key: str, value: bytes) -> None: ...
    def delete(self, partition: int, key: str) -> None: ...


def _day_key(day: int) -> str:
    return f"f{day}"


def _page_key(day: int, page: int) -> str:
    return f"f{day}/{page}"


def note(rows: Rows, partition: int, now_ms: int, keys: list[tuple[str, str]]) -> None:
    """Put the entries of a batch on a new page of today."""
    day = now_ms // DAY_MS
    written = parse(Written, rows.get(partition, _day_key(day)))
    if written is None:
        days = parse(BucketIndex, rows.get(partition, _DAYS_KEY)) or BucketIndex()
        rows.put(partition, _DAYS_KEY, dump(BucketIndex(numbers=sorted({*days.numbers, day}))))
        written = Written()
    rows.put(partition, _page_key(day, written.pages), dump(Page(keys=keys)))
    rows.put(partition, _day_key(day), dump(Written(pages=written.pages + 1)))


def forget_page(rows: Rows, partition: int, now_ms: int, remember_days: int) -> int:
    """Forget the last page of the oldest day that is over; returns how many entries went."""
    days = parse(BucketIndex, rows.get(partition, _DAYS_KEY))
    if days is None or not days.numbers:
        return 0
    day = days.numbers[0]
    oldest_kept = now_ms // DAY_MS - remember_days
    if day >= oldest_kept:
        return 0
    written = parse(Written, rows.get(partition, _day_key(day))) or Written()
    if written.pages == 0:
        rows.delete(partition, _day_key(day))
        rows.put(partition, _DAYS_KEY, dump(BucketIndex(numbers=days.numbers[1:])))
        return 0
    page_key = _page_key(day, written.pages - 1)
    page = parse(Page, rows.get(partition, page_key)) or Page()
    for entry_key, post_key in page.keys:
        rows.delete(partition, entry_key)
        post = parse(PostRow, rows.get(partition, post_key)) if post_key else None
        # Event times may lie far back: whether a post is old shows in the entry of its latest revision.
        if post and _nothing_stands_on(post) and rows.get(partition, latest_revision_key(post_key, post)) is None:
            rows.delete(partition, post_key)
    rows.delete(partition, page_key)
    rows.put(partition, _day_key(day), dump(Written(pages=written.pages - 1)))
    return len(page.keys)


def _nothing_stands_on(post: PostRow) -> bool:
    flagged = post.labels or post.in_distress or post.dossier or post.cases
    return not flagged and post.standing is Action.NONE and post.clock is None
