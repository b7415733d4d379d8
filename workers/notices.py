"""The words a sender and a person in distress read, filled from the policy's templates. Pure."""

from collections.abc import Sequence
from datetime import datetime

from models.labels import BY_ID
from workers.events import Action, CareContact, CareMessage, Notice
from workers.policy import Policy, iso_minute


def notice(
    policy: Policy,
    action: Action,
    *,
    clause: str,
    labels: list[str],
    due_at: datetime | None,
    appeal_until: datetime | None,
    in_distress: bool,
    lifted: Sequence[Action] = (),
) -> Notice:
    """The notice of one action; restore says what was `lifted`. Beside distress it mentions no violation or clause."""
    if in_distress and action is not Action.RESTORE:
        text = policy.data.notices_in_distress[action]
        bodies = [policy.data.bodies[name] for name in policy.data.resources_in_distress]
        return Notice(title=text.title, body=text.body, resources=[f"{b.name} {b.contact}" for b in bodies])
    if action is Action.RESTORE:
        return _restored(policy, lifted)
    text = policy.data.notices[action]
    cited = policy.data.clauses.get(clause)  # a case may be older than the policy, and its clause dropped since
    template = text.body
    if not labels:  # the model saw nothing: the line that would name the label is left out
        template = "\n".join(line for line in template.split("\n") if not _tells_only_the_label(line))
    body = template.format(
        clause=cited.title if cited else clause or policy.data.unnamed_clause,
        label="・".join(BY_ID[label].japanese for label in labels) or policy.data.unnamed_clause,
        due_at=iso_minute(due_at) if due_at else "",
        appeal_until=iso_minute(appeal_until) if appeal_until else "",
    )
    links = [link for label in labels for link in policy.data.resources.get(label, [])]
    return Notice(title=text.title, body=body, resources=list(dict.fromkeys(links)))


def _tells_only_the_label(line: str) -> bool:
    return "{label}" in line and "{" not in line.replace("{label}", "")


def _restored(policy: Policy, lifted: Sequence[Action]) -> Notice:
    """What was taken back, each thing once: a warned post was never hidden, and a suspended account is no post."""
    texts = [policy.data.restored.get(action, policy.data.notices[Action.RESTORE]) for action in lifted]
    texts = texts or [policy.data.notices[Action.RESTORE]]
    bodies = dict.fromkeys(text.body for text in texts)
    return Notice(title=texts[0].title, body="\n".join(bodies).format(), resources=[])


def care_message(policy: Policy) -> CareMessage:
    """The message to a person in distress."""
    care = policy.data.care
    bodies = [policy.data.bodies[name] for name in care.contacts]
    contacts = [CareContact(name=body.name, contact=body.contact, hours=body.hours) for body in bodies]
    return CareMessage(title=care.title, body=care.body, contacts=contacts)
