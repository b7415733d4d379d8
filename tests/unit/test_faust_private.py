"""Every private name of Faust, mode and aiokafka that workers.app relies on, against the pinned versions.

An upgrade that renames one of them would otherwise be noticed by losing records.
"""

import importlib.metadata
import inspect

import faust
import pytest
from faust import streams
from faust.app.base import App
from faust.tables.base import Collection
from faust.transport.consumer import Consumer as BaseConsumer
from faust.transport.drivers import aiokafka as driver

PINNED = {"faust-streaming": "0.15.3", "mode-streaming": "0.7.1", "aiokafka": "0.14.0"}


@pytest.mark.parametrize(("package", "version"), PINNED.items())
def test_versions_are_those_that_were_read(package: str, version: str) -> None:
    assert importlib.metadata.version(package) == version


def test_commits_ask_new_offset_of_the_partitions_with_pending_acks() -> None:
    """LedgerConsumer overrides both."""
    force_commit = inspect.getsource(BaseConsumer.force_commit)
    assert "self._filter_tps_with_pending_acks(topics)" in force_commit
    filtered = inspect.getsource(BaseConsumer._filter_committable_offsets)
    assert "self._new_offset(tp)" in filtered
    assert "self._should_commit(tp, offset)" in filtered
    assert list(inspect.signature(BaseConsumer._new_offset).parameters) == ["self", "tp"]


def test_the_consumer_keeps_what_ledger_consumer_clears_and_reads() -> None:
    source = inspect.getsource(BaseConsumer.__init__)
    for name in ("_acked", "_acked_index", "_committed_offset"):
        assert f"self.{name}" in source


def test_the_transport_makes_consumer_and_producer_from_its_attributes() -> None:
    assert driver.Transport.Consumer is driver.Consumer
    assert driver.Transport.Producer is driver.Producer
    from faust.transport.base import Transport

    assert "self.Consumer(" in inspect.getsource(Transport.create_consumer)
    assert "self.Producer(" in inspect.getsource(Transport.create_producer)


def test_the_producer_merges_settings_extra_last() -> None:
    source = inspect.getsource(driver.Producer._new_producer)
    assert source.index("_settings_default") < source.index("_settings_extra")


def test_the_current_event_is_a_weak_reference_in_a_context_variable() -> None:
    assert "eventref()" in inspect.getsource(streams.current_event)
    assert streams._current_event.get(None) is None


def test_a_table_write_sends_its_changelog_record_through_send_changelog() -> None:
    assert "self.send_changelog(" in inspect.getsource(faust.Table.on_key_set)
    assert "self.send_changelog(" in inspect.getsource(faust.Table.on_key_del)
    assert "return self.changelog_topic.send_soon(" in inspect.getsource(Collection.send_changelog)
    partition = inspect.getsource(Collection.partition_for_key)
    assert "event.message.topic" in partition
    assert "return event.message.partition" in partition


def test_noack_take_yields_events_and_acknowledges_none() -> None:
    source = inspect.getsource(streams.Stream.noack_take)
    assert "self.enable_acks = False" in source
    assert "yield list(buffer)" in source


def test_a_rebalance_sends_revoked_before_the_partitions_are_given_up() -> None:
    source = inspect.getsource(App._on_partitions_revoked)
    assert "await T(self.on_partitions_revoked.send)(revoked)" in source
