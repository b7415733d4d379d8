"""Settings from the environment: defaults, what is taken, what is refused, and that the refusal helps."""

import dataclasses
import os
from pathlib import Path

import pytest

from workers import settings
from workers.errors import SettingsError
from workers.settings import NAMES, TABLE, Settings, load

# The contract's names; they are fixed.
CONTRACT = set(
    "MIMAMORI_BOOTSTRAP_SERVERS MIMAMORI_GROUP MIMAMORI_INSTANCE_ID MIMAMORI_SESSION_TIMEOUT_SECONDS "
    "MIMAMORI_TOPIC_PREFIX MIMAMORI_TOPICS_FILE MIMAMORI_POLICY_FILE MIMAMORI_MODEL MIMAMORI_DATADIR MIMAMORI_WEB_PORT "
    "MIMAMORI_SHADOW MIMAMORI_TORCH_THREADS MIMAMORI_DATABASE_URL".split()
)  # those of TLS and SASL: test_security.py


def test_names_are_the_contracts() -> None:
    assert set(NAMES) >= CONTRACT
    assert [setting.field for setting in TABLE] == [field.name for field in dataclasses.fields(Settings)]
    assert all(setting.help for setting in TABLE)


def test_defaults() -> None:
    found = load({})
    assert found == Settings()
    assert (found.group, found.topic_prefix, found.shadow, found.torch_threads) == ("mimamori", "", False, 1)
    assert (found.policy_file, found.model, found.topics_file, found.instance_id) == (None, None, None, None)


def test_other_variables_are_nobodys_business() -> None:
    assert load({"PATH": "/bin", "MIMAMORIX": "1", "mimamori_group": "x", "KAFKA_HOME": ""}) == Settings()


def test_empty_is_as_if_it_were_not_set() -> None:
    assert load(dict.fromkeys(CONTRACT, "")) == Settings()


@pytest.mark.parametrize(
    ("name", "raw", "expected"),
    [
        ("BOOTSTRAP_SERVERS", "kafka:9092", "kafka:9092"),
        ("BOOTSTRAP_SERVERS", "a.example:1,b-2:65535,10.0.0.1:9092", "a.example:1,b-2:65535,10.0.0.1:9092"),
        ("BOOTSTRAP_SERVERS", "[::1]:9092", "[::1]:9092"),
        ("GROUP", "mimamori-2.b_c", "mimamori-2.b_c"),
        ("INSTANCE_ID", "worker-0", "worker-0"),
        ("SESSION_TIMEOUT_SECONDS", "6", 6.0),
        ("SESSION_TIMEOUT_SECONDS", "12.5", 12.5),
        ("SESSION_TIMEOUT_SECONDS", "1800", 1800.0),
        ("TOPIC_PREFIX", "staging.", "staging."),
        ("DATADIR", "/var/lib/mimamori", Path("/var/lib/mimamori")),
        ("WEB_PORT", "0", 0),
        ("WEB_PORT", "65535", 65535),
        ("SHADOW", "1", True),
        ("SHADOW", "0", False),
        ("TORCH_THREADS", "256", 256),
        ("DATABASE_URL", "postgresql://db/mimamori", "postgresql://db/mimamori"),
    ],
)
def test_valid(name: str, raw: str, expected: object) -> None:
    found = load({f"MIMAMORI_{name}": raw})
    assert getattr(found, name.lower()) == expected
    assert dataclasses.replace(found, **{name.lower(): getattr(Settings(), name.lower())}) == Settings()


def test_valid_paths(tmp_path: Path) -> None:
    file = tmp_path / "policy.yml"
    file.write_text("", "utf-8")
    found = load(
        {"MIMAMORI_POLICY_FILE": str(file), "MIMAMORI_TOPICS_FILE": str(file), "MIMAMORI_MODEL": str(tmp_path)}
    )
    assert (found.policy_file, found.topics_file, found.model) == (file, file, tmp_path)


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        *[
            ("BOOTSTRAP_SERVERS", raw)
            for raw in (
                *("kafka", "kafka:", ":9092", "kafka:0", "kafka:65536", "kafka:999999", "a:1,", ",a:1", "a:1, b:2"),
                *("http://kafka:9092", "a:1;b:2", "kafka:９０９２", "::1:9092", "kafka:9092\n", "kafka:-1"),
            )
        ],
        *[("GROUP", raw) for raw in ("a b", "組", "a/b", "x" * 201, "a\n")],
        ("INSTANCE_ID", "worker 0"),
        *[("SESSION_TIMEOUT_SECONDS", raw) for raw in ("5.9", "1801", "nan", "inf", "1e2", "-6", "ten", "１０", "10s")],
        *[("TOPIC_PREFIX", raw) for raw in ("a b-", "前", "a:")],
        *[("TOPICS_FILE", raw) for raw in ("/nowhere/topics.yml", "/", "a\0b", "x" * 5_000)],
        ("POLICY_FILE", "/nowhere/policy.yml"),
        *[("DATADIR", raw) for raw in (__file__, f"{__file__}/data/a", "x" * 5_000)],
        *[("MODEL", raw) for raw in ("/nowhere", __file__, "x" * 5_000)],
        *[("WEB_PORT", raw) for raw in ("-1", "65536", "80.0", "http", "８０", "+80", " 80", "0x50")],
        *[("SHADOW", raw) for raw in ("true", "yes", "2", "on", "１", "01")],
        *[("TORCH_THREADS", raw) for raw in ("0", "257", "two", "1.5", "٣")],
    ],
)
def test_invalid_is_named(name: str, raw: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load({f"MIMAMORI_{name}": raw})
    assert str(raised.value).startswith(f"MIMAMORI_{name}: ")
    assert "\n" not in str(raised.value)
    assert raised.value.exit_code == 2


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("MIMAMORI_BOOTSTRAP_SERVER", "MIMAMORI_BOOTSTRAP_SERVERS"),
        ("MIMAMORI_BOOTSTRAPSERVERS", "MIMAMORI_BOOTSTRAP_SERVERS"),
        ("MIMAMORI_GROUPS", "MIMAMORI_GROUP"),
        ("MIMAMORI_GRUOP", "MIMAMORI_GROUP"),
        ("MIMAMORI_MODELS", "MIMAMORI_MODEL"),
        ("MIMAMORI_DATA_DIR", "MIMAMORI_DATADIR"),
        ("MIMAMORI_POLICY", "MIMAMORI_POLICY_FILE"),
        ("MIMAMORI_TOPIC_FILE", "MIMAMORI_TOPICS_FILE"),
        ("MIMAMORI_TOPICS_PREFIX", "MIMAMORI_TOPIC_PREFIX"),
        ("MIMAMORI_SESSION_TIMEOUT", "MIMAMORI_SESSION_TIMEOUT_SECONDS"),
        ("MIMAMORI_PORT", "MIMAMORI_WEB_PORT"),
        ("MIMAMORI_SHADOWS", "MIMAMORI_SHADOW"),
        ("MIMAMORI_THREADS", "MIMAMORI_TORCH_THREADS"),
        ("MIMAMORI_shadow", "MIMAMORI_SHADOW"),
        ("MIMAMORI_DATABASE", "MIMAMORI_DATABASE_URL"),
    ],
)
def test_a_misspelt_name_gets_the_right_one(misspelt: str, meant: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load({misspelt: "1"})
    assert str(raised.value) == f"{misspelt}: no such setting; did you mean {meant}?"


def test_a_name_like_no_other_gets_no_guess() -> None:
    with pytest.raises(SettingsError) as raised:
        load({"MIMAMORI_XYZZY": "1"})
    assert str(raised.value) == "MIMAMORI_XYZZY: no such setting"


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(SettingsError) as raised:
        load({"MIMAMORI_SHADOW": "maybe", "MIMAMORI_WEB_PORT": "x", "MIMAMORI_GRUP": "y", "MIMAMORI_GROUP": "fine"})
    message = str(raised.value)
    assert "MIMAMORI_SHADOW: must be 0 or 1" in message
    assert "MIMAMORI_WEB_PORT: must be a whole number from 0 to 65535" in message
    assert "MIMAMORI_GRUP: no such setting; did you mean MIMAMORI_GROUP?" in message
    assert message.count("; MIMAMORI_") == 2


def test_a_secret_is_not_repeated() -> None:
    with pytest.raises(SettingsError) as raised:
        load({"MIMAMORI_DATABASE_URI": "postgresql://user:secret@db/x", "MIMAMORI_SHADOW": "maybe"})
    assert "secret" not in str(raised.value)


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MIMAMORI_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MIMAMORI_GROUP", "from-here")
    assert load().group == "from-here"


def test_topics_file_of_the_settings_then_of_the_directory_then_packaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert settings.topics_file(Settings()) is None
    (tmp_path / "topics.yml").write_text("", "utf-8")
    assert settings.topics_file(Settings()) == Path("topics.yml")
    assert settings.topics_file(Settings(topics_file=Path("other.yml"))) == Path("other.yml")
