"""The words of a policy: what a notice has to say, and domain.md's musts and must-nots for a person in distress."""
# ruff: noqa: E501 # one case a line reads as a table

from typing import Final

import pytest

from tests.unit.policies import TEXT, Edited, edited


def between(start: str, end: str) -> str:
    return TEXT[TEXT.index(start) : TEXT.index(end)]


WARN: Final = between("  warn:\n    title", "  request_removal:\n    title")
REQUEST: Final = between("  request_removal:\n    title", "  limit_visibility:\n    title")
RESTORE: Final = between("  restore:\n    title", "restored:  ")
GONE_TITLE: Final = "  remove:\n    title: 投稿を削除しました\n    body: |-\n      この投稿は"
HOLD: Final = between("  limit_visibility:\n    title: 投稿の表示を一時的に見合わせて", GONE_TITLE)
GONE: Final = between(GONE_TITLE, "  suspend:\n    title: アカウントのご利用")
CARE: Final = between("care:   ", "  contacts: [yorisoi")


def changed(block: str, before: str, after: str) -> Edited:
    """`before` in one block of the file replaced; without § the problem stands at the body's first line."""
    assert block.count(before) == 1
    new = block.replace(before, after)
    if "§" not in new:
        new = new.replace("body: |-\n", "body: |-\n§", 1)
    return edited(block, new)


# fmt: off
MISTAKES: Final = [
    # -- what notices must say
    (WARN, "{clause}", "規約", "notices.warn.body: does not name the clause", "Put {clause} where"),
    (WARN, "{appeal_until}まで", "いつ", "notices.warn.body: does not say until when to appeal", "Put {appeal_until} where"),
    (WARN, "異議を申し立てることができます", "お知らせください", "notices.warn.body: does not say that one may appeal", "Say it, such as"),
    (WARN, "{label}", "{due_at}", "notices.warn.body: {due_at} would be empty: only request_removal has a deadline", "Leave it out."),
    (WARN, "title: ご投稿についてのお願い", "§title: ' '", "notices.warn.title: is empty", "Write what the author is to read."),
    (REQUEST, "{due_at}", "明日", "notices.request_removal.body: does not say by when to act", "Put {due_at} where"),
    (RESTORE, "ご不便を", "{clause}ご不便を", "notices.restore.body: {clause} would be empty", "Leave it out."),
    (RESTORE, "ご不便を", "{appeal_until}ご不便を", "notices.restore.body: {appeal_until} would be empty", "Leave it out."),
    (RESTORE, "  restore:", "  §restored:", "notices.restored: unknown `restored`", "Did you mean `restore`?"),
    (RESTORE, "  restore:", "  §none: {title: x, body: y}\n  restore:", "notices.none: nobody is told of this action", "Leave it out."),
    # -- placeholders, on the very line of a text
    (WARN, "理由: {label}", "§理由: {lable}", "notices.warn.body: unknown placeholder {lable}", "Did you mean `label`?"),
    (WARN, "理由: {label}", "§理由: {score}", "notices.warn.body: unknown placeholder {score}", "Known are appeal_until, clause, due_at, label."),
    (WARN, "理由: {label}", "§理由: {text}", "notices.warn.body: unknown placeholder {text}", "Known are"),
    (WARN, "理由: {label}", "§理由: {}", "notices.warn.body: unknown placeholder {}", "Known are"),
    (WARN, "理由: {label}", "§理由: {label.upper}", "notices.warn.body: unknown placeholder {label.upper}", "Did you mean `label`?"),
    (WARN, "理由: {label}", "§理由: {label!r}", "notices.warn.body: unknown placeholder {label!r}", "Did you mean `label`?"),
    (WARN, "理由: {label}", "§理由: {label:>999999999}", "notices.warn.body: {label} cannot be written as `>999999999`", "Leave out"),
    (WARN, "理由: {label}", "§理由: {label:.2f}", "notices.warn.body: {label} cannot be written as `.2f`", "Leave out"),
    (WARN, "理由: {label}", "理由: {label", "notices.warn.body: a brace stands alone", "Double a brace"),
    (WARN, "title: ご", "§title: '{clause}' #", "notices.warn.title: unknown placeholder {clause}", "There is none: leave it out."),
    (TEXT, "benign: 違反に当たらない", "§benign: 違反 {label}", "reasons.benign: unknown placeholder {label}", "There is none: leave it out."),
    (TEXT, '"直近{days}日の違反', '§"直近{days}日{label}の違反', "reasons.rung: unknown placeholder {label}", "Known are count, days."),
    (TEXT, '"{label}の疑い（しきい値 {threshold:.2f}', '§"{label}の疑い（しきい値 {threshold:d}', "reasons.flagged: {threshold} cannot be written as `d`", "Leave out"),
    # -- the message to a person in distress: musts
    (CARE, "聞かせてください。話を聴いて", "書いてください。話のできる", "care.body: must listen", "Offer it, such as"),
    (CARE, "110番か119番", "119番", "care.body: must name 110 for when it is immediate", "Say: いますぐ"),
    (CARE, "110番か119番", "110番", "care.body: must name 119 for when it is immediate", "Say: いますぐ"),
    (CARE, "担当者が", "誰かが", "care.body: must offer a person to talk to", "Say who, such as"),
    # -- must-nots, on the very line
    (CARE, "    人と話したい", "    §薬を置いてください。人と話したい", "care.body: must not name a method: `薬`", "Say it without"),
    (CARE, "    人と話したい", "    §手首を見せて。人と話したい", "care.body: must not name a method: `手首`", "Say it without"),
    (CARE, "    人と話したい", "    §線路から離れてください。人と話したい", "care.body: must not name a place: `線路`", "Say it without"),
    (CARE, "    人と話したい", "    §命を粗末にしないで。人と話したい", "care.body: must not moralise: `粗末`", "Say it without"),
    (CARE, "    人と話したい", "    §相談するべきです。人と話したい", "care.body: must not moralise: `べき`", "Say it without"),
    (CARE, "    人と話したい", "    §家族の気持ちも。人と話したい", "care.body: must not moralise: `家族の気持ち`", "Say it without"),
    (CARE, "    人と話したい", "    §頑張ってください。人と話したい", "care.body: must not scold or cheer: `頑張`", "Say it without"),
    (CARE, "    人と話したい", "    §話してください！人と話したい", "care.body: must not scold or cheer: `!`", "Say it without"),
    (CARE, "    人と話したい", "    §死にたいのですね。人と話したい", "care.body: must not present death as a way out: `死`", "Say it without"),
    (CARE, "    人と話したい", "    §規約とは関係ありません。人と話したい", "care.body: must not mention a violation or penalty: `規約`", "Say it without"),
    (CARE, "    人と話したい", "    §ＡＩからのお知らせです。人と話したい", "care.body: must not mention a score or AI: `AI`", "Say it without"),
    (CARE, "    人と話したい", "    §「もう無理」とのこと。人と話したい", "care.body: must not quote the post: `「`", "Say it without"),
    (CARE, "    人と話したい", "    §投稿は消してください。人と話したい", "care.body: must not ask to take the post down: `消し`", "Say it without"),
    (CARE, "    人と話したい", "    §ご家庭に連絡しました。人と話したい", "care.body: must not say that others were told: `連絡しました`", "Say it without"),
    (CARE, "title: あなたのことが気がかりです", "§title: 自動のお知らせ", "care.title: must not mention a score or AI: `自動`", "Say it without"),
    (CARE, "    人と話したい", "    §{name}さん、人と話したい", "care.body: unknown placeholder {name}", "There is none: leave it out."),
    # -- the notices of measures beside distress
    (HOLD, "担当者が確認する", "確認する", "notices_in_distress.limit_visibility.body: must offer a person", "Say who, such as"),
    (HOLD, "    つらいお気持ち", "    §規約の違反です。つらいお気持ち", "notices_in_distress.limit_visibility.body: must not mention a violation or penalty: `規約`", "Say it without"),
    (HOLD, "    つらいお気持ち", "    §{clause}。つらいお気持ち", "notices_in_distress.limit_visibility.body: unknown placeholder {clause}", "There is none: leave it out."),
    (HOLD, "title: 投稿の", "§title: 死なないで。投稿の", "notices_in_distress.limit_visibility.title: must not present death as a way out", "Say it without"),
    (GONE, "この投稿は、", "§一時的に、", "notices_in_distress.remove.body: must not say that it is for a while: `一時`", "Say it without"),
    (GONE, "この投稿は、", "§担当者が確認するあいだ、", "notices_in_distress.remove.body: must not say that it is for a while: `確認するあいだ`", "Say it without"),
    (GONE, "title: 投稿を削除しました", "§title: ' '", "notices_in_distress.remove.title: is empty", "Write what the author is to read."),
    (GONE, "  remove:", "  §restore:", "notices_in_distress.restore: nobody in distress is told of this action so", "Leave it out."),
    (TEXT, "notices_in_distress:\n  warn:", "§notices_in_distress:\n  restore:", "notices_in_distress: `warn` is missing", "Add warn: with title and body."),
]
# fmt: on


@pytest.mark.parametrize(
    ("block", "before", "after", "begins", "remedy"), MISTAKES, ids=[case[3][:60] for case in MISTAKES]
)
def test_words_are_told_with_their_line_and_remedy(
    block: str, before: str, after: str, begins: str, remedy: str
) -> None:
    found = changed(block, before, after)
    told = [line for line in found.told() if line.startswith(f"mine.yml:{found.line}: {begins}")]
    assert len(told) == 1, "\n".join(found.told())
    assert remedy in told[0].split(begins, 1)[1]


def test_concern_has_to_be_said_in_title_or_body() -> None:
    said = changed(CARE, "title: あなたのことが気がかりです", "title: お知らせ")
    assert said.told() == []
    text = said.text.replace("あなたのことが心配です。", "")
    (told,) = Edited(text, said.line).told()
    assert told.startswith(f"mine.yml:{said.line}: care.body: must say that we are concerned. Say so")


@pytest.mark.parametrize(
    "also",
    [
        "親身にお話を聴きます。",
        "眠れないときも、どうぞ。",
        "大切なことを話してくださいました。",
        "EMAILでもどうぞ。",
        "ご家族のことでもどうぞ。",
        "もし話したくなければ、それでもかまいません。",
    ],
)
def test_kind_words_are_not_taken_for_what_they_contain(also: str) -> None:
    assert changed(CARE, "    人と話したい", f"    {also}人と話したい").told() == []


def test_a_folded_text_is_told_at_its_key() -> None:
    found = changed(CARE, "  body: |-\n", "  §body: >-\n")
    assert found.told() == []
    text = found.text.replace("返信すれば担当者がお返事します", "返信すればお返事します")
    (told,) = Edited(text, found.line).told()
    assert told.startswith(f"mine.yml:{found.line}: care.body: must offer a person")
