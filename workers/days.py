"""Days and months of the command line and of reports: Japan's, whatever the machine's zone. Pure."""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Final

from workers.errors import UsageError
from workers.events import to_kafka_ms

JAPAN: Final = timezone(timedelta(hours=9))
DAY_MS: Final = 86_400_000


def day(name: str, raw: str | None) -> date | None:
    """A day of the command line; UsageError names the option."""
    if raw is None:
        return None
    try:
        return datetime.strptime(raw, "%Y-%m-%d").replace(tzinfo=JAPAN).date()
    except ValueError:
        raise UsageError(f"{name}: must be a day such as 2026-11-24") from None


def start_ms(of: date) -> int:
    """The day's first moment in Japan, ms since the epoch."""
    return to_kafka_ms(datetime(of.year, of.month, of.day, tzinfo=JAPAN))


def end_ms(of: date) -> int:
    """The end of the day, excluded."""
    return start_ms(of) + DAY_MS


def day_of(at_ms: int) -> str:
    """The day in Japan, 2026-11-24."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(JAPAN).date().isoformat()
