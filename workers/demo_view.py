"""What the demo prints: one block a post, then totals. Colours and a progress line only on a terminal."""

from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from models.labels import BY_ID
from workers.events import Topic

if TYPE_CHECKING:
    from workers.demo import Account

_ACTIONS: Final = {
    "none": "なし",
    "warn": "警告",
    "request_removal": "削除要請",
    "limit_visibility": "表示制限（保留）",
    "remove": "削除",
    "suspend": "利用停止",
    "terminate": "解約",
    "restore": "復元",
}
_TEXT_CHARACTERS: Final = 48


class View:
    """`texts` are shown beside their decisions; without them only ids are."""

    def __init__(self, console: Console, texts: dict[tuple[str, int], str]) -> None:
        self.console = console
        self._texts = texts
        self._progress = ""

    def show(self, topic: Topic, record: dict[str, Any]) -> None:
        """One output as it arrives."""
        {
            Topic.DECISIONS: self._decision,
            Topic.ACTIONS: self._action,
            Topic.ESCALATIONS: self._escalation,
            Topic.CARE: self._care,
            Topic.DEAD_LETTERS: self._dead_letter,
        }[topic](record)

    def _decision(self, record: dict[str, Any]) -> None:
        labels = [f"{BY_ID[label].japanese} {record['scores'][label]:.2f}" for label in record["flagged"]] or [
            "問題なし"
        ]
        colour = "red" if record["severity"] == "grave" else "yellow" if record["flagged"] else "green"
        text = self._texts.get((record["post_id"], record["revision"]), "").replace("\n", " ")
        shown = text if len(text) <= _TEXT_CHARACTERS else text[: _TEXT_CHARACTERS - 1] + "…"
        self.console.print(
            f"\n[bold]{escape(record['post_id'])}[/bold] rev {record['revision']} {record['event']} "
            f"[dim]{escape(record['author_id'])}[/dim] {escape(shown)}"
        )
        self.console.print(
            f"  判定 [{colour}]{escape('、'.join(labels))}[/{colour}] → {_ACTIONS[record['action']]}"
            f"  [dim]{escape('；'.join(record['reasons']))}[/dim]"
        )

    def _action(self, record: dict[str, Any]) -> None:
        due = f"  期限 {record['due_at'][:16]}Z" if record["due_at"] else ""
        self.console.print(
            f"  [magenta]措置[/magenta] {escape(record['post_id'])} {_ACTIONS[record['action']]}"
            f"  条項 {record['clause'] or '—'}{due}  [dim]{escape(record['notice']['title'])}[/dim]"
        )

    def _escalation(self, record: dict[str, Any]) -> None:
        routes = " → ".join(route["name"] for route in record["routes"])
        self.console.print(
            f"  [cyan]相談キュー[/cyan] {escape(record['post_id'])} {record['priority']} {record['status']}"
            f"  期限 {record['due_at'][:16]}Z  {escape(routes)}"
        )

    def _care(self, record: dict[str, Any]) -> None:
        message = record["message"]["title"] if record["message"] else "（24時間以内に案内済み）"
        self.console.print(f"  [blue]ケア[/blue] {escape(record['post_id'])} {record['priority']}  {escape(message)}")

    def _dead_letter(self, record: dict[str, Any]) -> None:
        source, error = record["source"], record["error"]
        self.console.print(
            f"\n[red]デッドレター[/red] {escape(source['topic'])}/{source['partition']}@{source['offset']} "
            f"{escape(error['type'])}: {escape(error['message'])}"
        )

    def progress(self, done: int, total: int) -> None:
        """A line of its own, on a terminal only."""
        line = f"{done}/{total}"
        if self.console.is_terminal and line != self._progress:
            self._progress = line
            self.console.print(f"[dim]{line}[/dim]", end="\r")

    def totals(self, account: "Account") -> None:
        """Where each record went."""
        summary = account.summary()
        table = Table(title="合計 / totals", title_justify="left")
        table.add_column("記録 / records")
        table.add_column("件数", justify="right")
        for name, words in (
            ("posts", "投稿イベント posts"),
            ("decisions", "判定 moderation-decisions"),
            ("dead_letters", "デッドレター dead-letters"),
            ("actions", "措置 moderation-actions"),
            ("escalations", "相談キュー consultation-escalations"),
            ("care", "ケア care-outreach"),
        ):
            table.add_row(words, str(summary[name]))
        for action, count in summary["by_action"].items():
            table.add_row(f"  {_ACTIONS[action]} {action}", str(count))
        self.console.print()
        self.console.print(table)
        verdict = "すべての記録の行き先を確認しました" if summary["accounted"] else "行き先の分からない記録があります"
        self.console.print(verdict)
