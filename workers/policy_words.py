"""What the words of a policy must and must not say: placeholders, notices, and the message to a person in distress.

The rules for a person in distress are those of WHO's guidance for media and of TALK. They are checked by words, so a
text that keeps them all may still be wrong: people read it before others do.
"""

import re
import string
import unicodedata
from collections.abc import Iterator
from typing import Any, Final

from workers.events import Action
from workers.policy_data import MILD_TO_HARSH, NOTIFIED, REASONS, NoticeText, PolicyFile
from workers.policy_problem import Place, Problem, choice, word

NOTICE_FIELDS: Final = dict.fromkeys(("clause", "label", "due_at", "appeal_until"), "")
_MEASURES: Final = MILD_TO_HARSH[1:]
_REVERSIBLE: Final = (Action.WARN, Action.REQUEST_REMOVAL, Action.LIMIT_VISIBILITY)
_FORMAT: Final = re.compile(r"[.0-9]{0,3}[a-z%]?")  # {threshold:.2f}; a width of a milliard would be written out
_HOW_TO_APPEAL: Final = "異議|不服|申し立て|申立|appeal"

# (rule, words of which one has to stand in the text, what to write)
MUST: Final = (
    ("say that we are concerned", "心配|気がかり|気にかけ|案じ", "Say so, such as: あなたのことが心配です。"),
    ("listen", "聴|聞か|うかが|伺", "Offer it, such as: よければ、いまの気持ちを聞かせてください。"),
    ("name 110 for when it is immediate", "110", "Say: いますぐ危ないと感じるときは、110番か119番に電話してください。"),
    ("name 119 for when it is immediate", "119", "Say: いますぐ危ないと感じるときは、110番か119番に電話してください。"),
)
MUST_OFFER_A_PERSON: Final = (
    (
        "offer a person to talk to",
        "担当者|スタッフ|相談員|私たち|わたしたち",
        "Say who, such as: 担当者がお返事します。",
    ),
)
# (rule, words none of which may stand in the text)
MUST_NOT: Final = (
    (
        "name a method",
        "首を|首つり|吊|飛び降|飛び込|飛びお|練炭|硫化|ガス|薬|過量|リスカ|リストカット|手首|刃物|包丁|ナイフ|ロープ|カッター|感電",
    ),
    ("name a place", "線路|踏切|駅|橋|屋上|ビル|崖|樹海"),
    (
        "moralise",
        "べき|なければなり|いけません|いけない|粗末|大切にし|命は大切|悲しむ|悲しみます|迷惑|(家族|親|友人|みんな)の(ため|気持ち)",
    ),
    ("scold or cheer", "頑張|がんば|ダメ|だめ|負けな|弱い|弱さ|甘え|元気を出|元気出|前向き|ファイト|!"),
    ("present death as a way out", "死|自殺|楽にな|解放|終わりに|永眠|眠りにつ"),
    ("mention a violation or penalty", "違反|規約|禁止|条項|処分|処罰|停止|警告|制限|措置|罰"),
    (
        "mention a score or AI",
        "スコア|確率|判定|検知|検出|(?<![A-Za-z])AI(?![A-Za-z])|人工知能|自動|機械|システム|モデル",
    ),
    ("quote the post", "「|」|『|』|[{]|[}]|と書かれ|と書いて|投稿に"),
)
# What is not undone by itself is not told as if it were.
MUST_NOT_FOR_GOOD: Final = (
    "say that it is for a while",
    "一時|しばらく|当面|当分|(確認|判断)する(あいだ|間)|確認中|見合わせ",
)
# The post stays where it is, and nobody is told.
MUST_NOT_IN_CARE: Final = (
    ("ask to take the post down", "削除|消し|消す|非表示|取り下げ"),
    ("say that others were told", "共有|公開|通報|報告|連絡しました|知らせました"),
)


# -- placeholders ------------------------------------------------------------------------------------------------------


def placeholders(data: PolicyFile) -> Iterator[Problem]:
    """Placeholders that nothing would fill."""
    for action, text in data.notices.items():
        yield from _unfilled(("notices", action.value, "title"), text.title, {})
        yield from _unfilled(("notices", action.value, "body"), text.body, NOTICE_FIELDS)
    for action, text in data.restored.items():
        yield from _unfilled(("restored", action.value, "title"), text.title, {})
        yield from _unfilled(("restored", action.value, "body"), text.body, NOTICE_FIELDS)
    for name, words in data.reasons.items():
        yield from _unfilled(("reasons", name), words, REASONS.get(name, {}))
    for action, text in data.notices_in_distress.items():
        yield from _unfilled(("notices_in_distress", action.value, "title"), text.title, {})
        yield from _unfilled(("notices_in_distress", action.value, "body"), text.body, {})
    yield from _unfilled(("care", "title"), data.care.title, {})
    yield from _unfilled(("care", "body"), data.care.body, {})


def _unfilled(place: Place, text: str, fields: dict[str, Any]) -> Iterator[Problem]:
    try:
        parts = list(string.Formatter().parse(text))
    except ValueError as error:
        yield Problem(place, f"a brace stands alone: {error}", "Double a brace that is to be read as one.")
        return
    row = 0
    for literal, name, form, conversion in parts:
        row += literal.count("\n")
        if name is None:
            continue
        if name not in fields or conversion:
            as_written = f"{{{word(name)}{f'!{conversion}' if conversion else ''}}}"
            yield Problem(place, f"unknown placeholder {as_written}", choice(name, fields), row=row)
        elif not (_FORMAT.fullmatch(form or "") and _fits(fields[name], form or "")):
            yield Problem(
                place, f"{{{name}}} cannot be written as `{word(form)}`", "Leave out the colon's part.", row=row
            )


def _fits(example: Any, form: str) -> bool:
    try:
        format(example, form)
    except (ValueError, TypeError):
        return False
    return True


def _used(text: str) -> set[str]:
    """The placeholders of a text whose braces are right; else none, and `placeholders` has told of it."""
    try:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}
    except ValueError:
        return set()


# -- notices -----------------------------------------------------------------------------------------------------------


def notices(data: PolicyFile) -> Iterator[Problem]:
    """What each notice must say: the clause, until when and how to appeal, and by when to act if something is asked."""
    for action in NOTIFIED:
        text = data.notices.get(action)
        if text is None:
            yield Problem(("notices",), f"`{action}` is missing", f"Add {action}: with title and body.")
        else:
            yield from _notice(action, text)
    for action, text in data.restored.items():
        if action in (Action.NONE, Action.RESTORE):
            yield Problem(("restored", action.value), "nothing that could be taken back", "Leave it out.")
        yield from _restore(("restored", action.value), text)
    for action in data.notices:
        if action not in NOTIFIED:
            yield Problem(("notices", action.value), "nobody is told of this action", "Leave it out.")


def _notice(action: Action, text: NoticeText) -> Iterator[Problem]:
    if action is Action.RESTORE:
        yield from _restore(("notices", action.value), text)
        return
    place, used = ("notices", action.value, "body"), _used(text.body)
    yield from _empty(("notices", action.value), text)
    if "clause" not in used:
        yield Problem(place, "does not name the clause", "Put {clause} where the notice says what the post breaks.")
    if "appeal_until" not in used:
        yield Problem(place, "does not say until when to appeal", "Put {appeal_until} where it tells of the appeal.")
    if not re.search(_HOW_TO_APPEAL, text.body.replace("{appeal_until}", "")):
        yield Problem(place, "does not say that one may appeal", "Say it, such as: 異議を申し立てることができます。")
    if action is Action.REQUEST_REMOVAL and "due_at" not in used:
        yield Problem(place, "does not say by when to act", "Put {due_at} where it asks for the removal.")
    if action is not Action.REQUEST_REMOVAL and "due_at" in used:
        yield Problem(place, "{due_at} would be empty: only request_removal has a deadline", "Leave it out.")


def _restore(place: Place, text: NoticeText) -> Iterator[Problem]:
    yield from _empty(place, text)
    for name in sorted(_used(text.body) & NOTICE_FIELDS.keys()):
        what = f"{{{name}}} would be empty: nothing stands against the author"
        yield Problem((*place, "body"), what, "Leave it out.")


def _empty(place: Place, text: NoticeText) -> Iterator[Problem]:
    for empty in ("title", "body"):
        if not getattr(text, empty).strip():
            yield Problem((*place, empty), "is empty", "Write what the author is to read.")


# -- distress ----------------------------------------------------------------------------------------------------------


def care(data: PolicyFile) -> Iterator[Problem]:
    """The message to a person in distress, and the notices of measures beside distress, keep musts and must-nots."""
    message = {("care", "title"): data.care.title, ("care", "body"): data.care.body}
    yield from _missing(message, (*MUST, *MUST_OFFER_A_PERSON))
    yield from _forbidden(message, (*MUST_NOT, *MUST_NOT_IN_CARE))
    for action in _MEASURES:
        if action not in data.notices_in_distress:
            yield Problem(("notices_in_distress",), f"`{action}` is missing", f"Add {action}: with title and body.")
    for action, text in data.notices_in_distress.items():
        place: Place = ("notices_in_distress", action.value)
        if action not in _MEASURES:
            yield Problem(place, "nobody in distress is told of this action so", "Leave it out.")
            continue
        yield from _empty(place, text)
        told = {(*place, "title"): text.title, (*place, "body"): text.body}
        yield from _missing(told, MUST_OFFER_A_PERSON)
        yield from _forbidden(told, MUST_NOT if action in _REVERSIBLE else (*MUST_NOT, MUST_NOT_FOR_GOOD))


def _missing(texts: dict[Place, str], rules: tuple[tuple[str, str, str], ...]) -> Iterator[Problem]:
    whole = _plain("\n".join(texts.values()))
    for rule, words, remedy in rules:
        if not re.search(words, whole):
            yield Problem(list(texts)[-1], f"must {rule}", remedy)


def _forbidden(texts: dict[Place, str], rules: tuple[tuple[str, str], ...]) -> Iterator[Problem]:
    for place, text in texts.items():
        for rule, words in rules:
            for row, line in enumerate(_plain(text).split("\n")):
                found = re.search(words, line)
                if found:
                    yield Problem(place, f"must not {rule}: `{found[0]}`", "Say it without that word.", row=row)


def _plain(text: str) -> str:
    """Full-width letters, digits and marks as their plain ones."""
    return unicodedata.normalize("NFKC", text)
