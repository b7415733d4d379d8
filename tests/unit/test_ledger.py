"""What a commit may cover."""

from workers.ledger import Ledger


def test_nothing_finished_means_nothing_to_commit() -> None:
    assert Ledger().next("posts", 0) is None


def test_a_commit_covers_the_finished_record_and_no_more() -> None:
    ledger = Ledger()
    ledger.finish("posts", 0, 41)
    assert ledger.next("posts", 0) == 42
    assert ledger.next("posts", 1) is None
    assert ledger.next("staff-reviews", 0) is None


def test_keep_forgets_every_other_partition() -> None:
    ledger = Ledger()
    for partition in range(3):
        ledger.finish("posts", partition, 7)
    ledger.keep({("posts", 1), ("posts", 9)})
    assert [ledger.next("posts", partition) for partition in (0, 1, 2, 9)] == [None, 8, None, None]


def test_a_forgotten_partition_is_read_from_its_commit_again() -> None:
    ledger = Ledger()
    ledger.finish("posts", 0, 7)
    ledger.finish("posts", 1, 7)
    ledger.forget({("posts", 0), ("posts", 5)})
    assert ledger.next("posts", 0) is None
    assert ledger.next("posts", 1) == 8
    ledger.finish("posts", 0, 3)  # from an earlier commit: the ledger must not remember the higher one
    assert ledger.next("posts", 0) == 4
