"""Which bodies a case goes to, in order. Pure; the table is policy data.

Distress is never sent to the centre or the hotline: its cases, and every case of a person in distress, go to staff
and, where it may be now, to 110 and 119.
"""

from workers.events import Priority, Route
from workers.policy import Policy, RouteRule


def routes(policy: Policy, labels: list[str], priority: Priority, *, in_distress: bool) -> list[Route]:
    """Ordered, each body once. `labels` are the violations of the case."""
    urgent = priority in (Priority.P0, Priority.P1)
    rules: list[RouteRule] = [policy.data.staff_first]
    if in_distress:
        rules += policy.data.imminent_routes if urgent else []
    else:
        if priority is Priority.P0:
            rules += policy.data.imminent_routes
        for label in labels:
            rules += policy.data.routes.get(label, [])
    found: dict[str, Route] = {}
    for rule in rules:
        body = policy.data.bodies[rule.body]
        found.setdefault(rule.body, Route(body=rule.body, name=body.name, contact=body.contact, why=rule.why))
    return list(found.values())
