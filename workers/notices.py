"""The words a sender and a person in distress read, filled from the policy's templates. Pure."""

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
) -> Notice:
    """The notice of one action. Beside distress it mentions neither violation nor clause."""
    if in_distress:
        text = policy.data.notice_in_distress
        bodies = [policy.data.bodies[name] for name in policy.data.resources_in_distress]
        return Notice(title=text.title, body=text.body, resources=[f"{b.name} {b.contact}" for b in bodies])
    text = policy.data.notices[action]
    cited = policy.data.clauses.get(clause)  # a case may be older than the policy, and its clause dropped since
    body = text.body.format(
        clause=cited.title if cited else clause,
        label="・".join(BY_ID[label].japanese for label in labels),
        due_at=iso_minute(due_at) if due_at else "",
        appeal_until=iso_minute(appeal_until) if appeal_until else "",
    )
    links = [link for label in labels for link in policy.data.resources.get(label, [])]
    return Notice(title=text.title, body=body, resources=list(dict.fromkeys(links)))


def care_message(policy: Policy) -> CareMessage:
    """The message to a person in distress."""
    care = policy.data.care
    bodies = [policy.data.bodies[name] for name in care.contacts]
    contacts = [CareContact(name=body.name, contact=body.contact, hours=body.hours) for body in bodies]
    return CareMessage(title=care.title, body=care.body, contacts=contacts)
