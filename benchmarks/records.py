"""Records of `posts` as a platform would send them, and authors spread evenly over the partitions.

By chance two replicas would get some 5 % more and less than their halves; that is the hash's luck and not the worker's,
so each partition has as many authors as any other.
"""

import json
from typing import Final

from workers.events import from_kafka_ms

AUTHORS_OF_A_PARTITION: Final = 42


def post_record(author: str, post_id: str, text: str, at: float) -> tuple[bytes, bytes]:
    """Key and value of a post/1 written at `at` (epoch seconds)."""
    record = {
        "schema": "post/1",
        "event": "created",
        "post_id": post_id,
        "revision": 1,
        "author_id": author,
        "occurred_at": from_kafka_ms(int(at * 1000)).isoformat(),
        "text": text,
        "platform": "bench",
    }
    return author.encode(), json.dumps(record, ensure_ascii=False).encode()


def authors(partitions: int, each: int = AUTHORS_OF_A_PARTITION) -> list[str]:
    """Ids such that every partition has `each` of them, the partitions in turn."""
    from aiokafka.partitioner import murmur2

    found: list[list[str]] = [[] for _ in range(partitions)]
    number = 0
    while any(len(some) < each for some in found):
        name = f"author-{number}"
        found[(murmur2(name.encode()) & 0x7FFFFFFF) % partitions].append(name)
        number += 1
    return [some[i] for i in range(each) for some in found]
