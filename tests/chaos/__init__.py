"""Chaos on real Kafka: a feed, a seeded schedule of faults, and a checker that knows the contract and not the code.

    snapshot.py  what a run left in Kafka, as plain data         feed.py       the records, seeded, and their sender
    checker.py   the contract against a snapshot (entry)         malformed.py  records that must become dead letters
    records.py   1: every record one decision or dead letter     schedule.py   the faults, seeded
    outputs.py   2: ids, bytes, keys, what a decision owes       cluster.py    three brokers to kill or cut off
    counting.py  3: order and history by author                  proxy.py      the network between worker and broker
    commits.py   4: no commit before its outputs                 fleet.py      the workers and their supervisor
    reading.py   Kafka → snapshot; samples of the commits        driver.py     one run

`make chaos` is `python -m tests.chaos`; test_short.py is the run of CI; test_checker.py proves the checker. The files
on the left import nothing of the product: a fault of its code must not hide itself (test_checker.py holds it).
"""
