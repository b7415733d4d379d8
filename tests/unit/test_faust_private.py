"""Every private name of Faust, mode and aiokafka that workers.app relies on, against the pinned versions.

An upgrade that renames one of them would otherwise be noticed by losing records.
"""

import importlib.metadata
import inspect

import faust
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import create_conn
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.producer.sender import SendProduceReqHandler
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


def test_credentials_reach_the_consumer_and_come_after_the_producers_defaults() -> None:
    """Its defaults say PLAINTEXT; workers.app.credentials rests on the names of what is passed on."""
    consumer = inspect.getsource(driver.AIOKafkaConsumerThread._create_worker_consumer)
    assert "credentials_to_aiokafka_auth(\n            conf.broker_credentials" in consumer
    assert "**auth_settings" in consumer
    producer = inspect.getsource(driver.Producer._new_producer)
    assert producer.index("_settings_default") < producer.index("_settings_auth")
    passed_on = inspect.getsource(driver.credentials_to_aiokafka_auth)
    for name in ("context", "mechanism.value", "username", "password", "ssl_context", "protocol.value"):
        assert f"credentials.{name}," in passed_on


def test_the_admin_client_sends_requests_of_ours() -> None:
    """workers.access and workers.topics."""
    assert list(inspect.signature(AIOKafkaAdminClient._send_request).parameters) == ["self", "request", "node_id"]
    wanted = {"security_protocol", "ssl_context", "sasl_mechanism", "sasl_plain_username", "sasl_plain_password"}
    assert wanted <= set(inspect.signature(create_conn).parameters)
    assert wanted <= set(inspect.signature(AIOKafkaAdminClient.__init__).parameters)


def test_the_app_makes_its_producer_from_the_consumers_transport() -> None:
    """`producer_transport` makes none, though it is named so."""
    assert "self.transport.create_producer(" in inspect.getsource(App._new_producer)


def test_membership_takes_hold_of_what_the_coordinator_and_the_sender_call() -> None:
    """workers.app.Membership replaces these on the objects themselves."""
    assert "await self._do_heartbeat()" in inspect.getsource(GroupCoordinator._heartbeat_routine)
    assert "await self._on_join_complete(" in inspect.getsource(GroupCoordinator._do_rejoin_group)
    heartbeat = inspect.getsource(GroupCoordinator._do_heartbeat)
    assert heartbeat.count("self.reset_generation()") == 2, "an unknown member, a generation that is over"
    assert "reset_generation()" in inspect.getsource(GroupCoordinator._do_commit_offsets)
    assert "self._coordinator = GroupCoordinator(" in inspect.getsource(AIOKafkaConsumer.start)
    assert "self._consumer = self._create_consumer(" in inspect.getsource(driver.AIOKafkaConsumerThread.on_start)
    assert "AIOKafkaConsumerThread(self, loop=self.loop" in inspect.getsource(driver.Consumer._new_consumer_thread)
    assert "await self._client.send(node_id, request)" in inspect.getsource(SendProduceReqHandler.do)
    assert "self._new_producer()" in inspect.getsource(driver.Producer.on_start)


def test_an_acknowledged_changelog_record_moves_the_stores_offset() -> None:
    assert "callback=self._on_changelog_sent" in inspect.getsource(Collection.send_changelog)
    assert "self.data.set_persisted_offset(" in inspect.getsource(Collection._on_changelog_sent)


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
