"""The command line. Each command imports what it needs when it runs, so that --help is quick.

Exit codes: 0 done, 1 some input was bad, 2 wrong use or configuration, 3 Kafka does not answer, 4 the worker ended
because a guarantee was at risk.
"""

import argparse
import asyncio
import os
import re
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from workers import __version__, cli_cases, cli_models, cli_report
from workers.cli_models import checkpoint_errors, positive
from workers.errors import Fault, MimamoriError, UsageError, usable


def main(argv: Sequence[str] | None = None) -> int:
    """Entry of `mimamori`."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    command: Callable[[argparse.Namespace], int] = arguments.run
    try:
        return command(arguments)
    except MimamoriError as error:
        print(f"mimamori: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # What is left in the buffer would be written at exit, fail again, and end in a message and another exit code.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mimamori",
        description="見守り: event-driven moderation of Japanese posts on Kafka.",
        epilog="Settings come from the environment (MIMAMORI_*); docs/operations.md lists them.",
    )
    parser.add_argument("--version", action="version", version=f"mimamori {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(name: str, run: Callable[[argparse.Namespace], int], summary: str, example: str) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name,
            help=summary,
            description=summary,
            epilog=f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(run=run)
        return command

    demo = add(
        "demo", _demo, "embedded Kafka, a worker, sample posts; prints every decision", "mimamori demo --posts my.jsonl"
    )
    demo.add_argument("--posts", type=Path, metavar="FILE", help="JSON lines of post/1 records instead of the samples")
    add(
        "worker",
        _worker,
        "run one worker replica until SIGTERM",
        "MIMAMORI_BOOTSTRAP_SERVERS=kafka:9092 mimamori worker",
    )
    topics = add(
        "topics", _topics, "show or make the difference between topics.yml and the cluster", "mimamori topics plan"
    )
    topics.add_argument(
        "verb", choices=["plan", "apply"], help="plan only shows; apply shows, then does; never deletes"
    )
    policy = add(
        "policy",
        _policy,
        "check a policy file: every problem with its line and remedy, or what it says in short",
        "mimamori policy check my-policy.yml --strict",
    )
    policy.add_argument("verb", choices=["check"], help="what it calls an error, a worker refuses")
    policy.add_argument("file", nargs="?", type=Path, help="else MIMAMORI_POLICY_FILE, else the packaged default")
    policy.add_argument("--model", type=Path, metavar="DIR", help="whose operating points; the shipped without it")
    policy.add_argument("--strict", action="store_true", help="take warnings for errors, such as a stale contact")
    classify = add(
        "classify",
        _classify,
        "JSON lines {text, id} in, JSON lines with scores out, same order, no Kafka",
        'echo \'{"text": "今日はいい天気"}\' | mimamori classify',
    )
    classify.add_argument("file", nargs="?", type=Path, help="input file; stdin without it")
    classify.add_argument("--model", type=Path, metavar="DIR", help="checkpoint directory; the shipped one without it")
    cli_models.add_to(add)
    redrive = add(
        "redrive",
        _redrive,
        "send dead letters back to their source topic, once each; without --go only show what would be sent",
        "mimamori redrive --error unknown_subject --failed-since 2026-11-24T00:00:00Z --go --wait 60",
    )
    redrive.add_argument("--go", action="store_true", help="send; without it nothing is written anywhere")
    redrive.add_argument("--error", action="append", choices=list(Fault), metavar="TYPE", help=" ".join(Fault))
    redrive.add_argument("--topic", action="append", choices=["posts", "staff-reviews"], help="the source topic")
    redrive.add_argument("--failed-since", type=_instant, metavar="TIME", help="died at or after; RFC 3339 with a zone")
    redrive.add_argument("--failed-until", type=_instant, metavar="TIME", help="died before")
    redrive.add_argument("--sent-since", type=_instant, metavar="TIME", help="Kafka timestamp of the source record")
    redrive.add_argument("--sent-until", type=_instant, metavar="TIME", help="the same, before")
    redrive.add_argument("--partition", type=_whole, metavar="N", help="partition of the source record")
    redrive.add_argument("--offset", type=_offsets, metavar="N|N-M", help="its offset, with --partition")
    redrive.add_argument("--again", action="store_true", help="also those that were sent back before and died again")
    redrive.add_argument("--limit", type=positive, metavar="N", help="send no more than so many")
    redrive.add_argument("--rate", type=_rate, default=100.0, metavar="N", help="so many a second; 100 without it")
    redrive.add_argument(
        "--wait", type=_whole, default=0, metavar="SECONDS", help="with --go: then see what workers made of them"
    )
    backtest = add(
        "backtest",
        _backtest,
        "replay recorded decisions under another policy, or another model, and print what would change",
        "mimamori backtest --policy new.yml --from 2026-10-01 --to 2026-10-31 --json changes.json",
    )
    backtest.add_argument("--policy", type=Path, metavar="FILE", help="the policy to try; with --model alone: in force")
    backtest.add_argument("--model", type=Path, metavar="DIR", help="reclassify the posts that are retained with this")
    backtest.add_argument("--from", metavar="D", help="first day compared (2026-10-01, Japan's)")
    backtest.add_argument("--to", metavar="D", help="last day, included")
    backtest.add_argument("--decisions", type=Path, metavar="FILE", help="JSON lines of decision/1 instead of Kafka")
    backtest.add_argument("--reviews", type=Path, metavar="FILE", help="with it: JSON lines of review/1")
    backtest.add_argument("--shadow", metavar="VERSION", help="decisions of shadow workers of this policy version")
    backtest.add_argument("--samples", type=_whole, default=5, metavar="N", help="posts named for each kind of change")
    backtest.add_argument("--json", type=Path, metavar="FILE", help="also write the figures as JSON")
    cli_report.add_to(add)
    cli_cases.add_to(add)
    return parser


def _whole(raw: str) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", raw):
        raise argparse.ArgumentTypeError("must be a whole number")
    return int(raw)


def _rate(raw: str) -> float:
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,3})?", raw) or float(raw) == 0:
        raise argparse.ArgumentTypeError("must be a number above 0")
    return float(raw)


def _offsets(raw: str) -> tuple[int, int]:
    first, _, last = raw.partition("-")
    span = _whole(first), _whole(last or first) + 1
    if span[0] >= span[1]:
        raise argparse.ArgumentTypeError("the first is behind the last")
    return span


def _instant(raw: str) -> int:
    """Milliseconds since the epoch."""
    try:
        moment = datetime.fromisoformat(raw)
    except ValueError:
        moment = datetime.min
    if moment.tzinfo is None:
        raise argparse.ArgumentTypeError("must be a time with its zone, such as 2026-11-24T09:00:00+09:00")
    return int(moment.timestamp() * 1000)


def _demo(arguments: argparse.Namespace) -> int:
    from workers import demo

    return demo.run(arguments.posts)


def _worker(_: argparse.Namespace) -> int:
    from workers import settings
    from workers.run import Replica

    loaded = settings.load()
    with checkpoint_errors():
        return Replica(loaded).run()


def _topics(arguments: argparse.Namespace) -> int:
    from workers import security, settings, topics

    loaded = settings.load()
    return asyncio.run(
        topics.command(
            arguments.verb,
            bootstrap=loaded.bootstrap_servers,
            topics_file=settings.topics_file(loaded),
            prefix=loaded.topic_prefix,
            group=loaded.group,
            security=security.of(loaded),
        )
    )


def _redrive(arguments: argparse.Namespace) -> int:
    from workers import redrive, settings
    from workers.letters import Filter, Span

    if arguments.wait and not arguments.go:
        raise UsageError("--wait: of no use without --go")
    if arguments.offset and arguments.partition is None:
        raise UsageError("--offset: of no use without --partition")
    chosen = Filter(
        errors=arguments.error or (),
        failed_at=Span(arguments.failed_since, arguments.failed_until),
        sent_at=Span(arguments.sent_since, arguments.sent_until),
        partition=arguments.partition,
        offsets=Span(*(arguments.offset or ())),
    )
    order = redrive.Order(chosen, arguments.go, arguments.again, arguments.rate, arguments.limit, float(arguments.wait))
    return redrive.run(settings.load(), order, arguments.topic or ())


def _backtest(arguments: argparse.Namespace) -> int:
    from workers import backtest, settings
    from workers.days import day

    first, last = (day(f"--{name}", getattr(arguments, name)) for name in ("from", "to"))
    given = {name: getattr(arguments, name) for name in backtest.Order.__dataclass_fields__ if hasattr(arguments, name)}
    with checkpoint_errors():
        return backtest.run(settings.load(), backtest.Order(first=first, last=last, **given))


def _policy(arguments: argparse.Namespace) -> int:
    from datetime import date

    from models import checkpoint
    from workers import policy_check, settings

    loaded = settings.load()
    with checkpoint_errors():
        points = checkpoint.load(arguments.model or loaded.model or checkpoint.SHIPPED).thresholds
    file = arguments.file or loaded.policy_file
    return policy_check.run(file, points, date.today(), strict=arguments.strict, out=sys.stdout, err=sys.stderr)


def _classify(arguments: argparse.Namespace) -> int:
    from workers import classify, settings

    loaded = settings.load()
    source = sys.stdin.buffer
    if arguments.file is not None:
        with usable(arguments.file):
            source = arguments.file.open("rb")
    with source, checkpoint_errors():
        return classify.run(source, sys.stdout, arguments.model or loaded.model, loaded.torch_threads)


if __name__ == "__main__":
    sys.exit(main())
