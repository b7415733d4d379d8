"""What the places of a policy say together: names that exist, thresholds and rungs that can be reached, bodies in use.

Pure. What one place says by itself is a matter of its type (workers.policy_data); words are in workers.policy_words.
Each rule names the sections that it reads, so that a mistake in one section hides nothing in the others.
"""

import re
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import date, timedelta
from itertools import pairwise
from typing import Any, Final

from models.labels import BY_ID, DISTRESS, VIOLATION_IDS
from workers import policy_words, signs
from workers.events import Action, Priority
from workers.policy_data import MILD_TO_HARSH, REASONS, PolicyFile
from workers.policy_problem import Place, Problem, choice, word
from workers.state import MAX_STRIKES

Points = Mapping[str, float]
Rule = Callable[[PolicyFile, Points], Iterator[Problem]]
_PUNISHMENTS: Final = MILD_TO_HARSH[1:]


def check(data: PolicyFile, points: Points, unreadable: frozenset[str] = frozenset()) -> list[Problem]:
    """Every problem between fields; rules that read an unreadable section are left out. `points`: the checkpoint's."""
    return [
        problem
        for sections, rule in RULES
        if not unreadable & frozenset(sections.split())
        for problem in rule(data, points)
    ]


def _known(place: Place, name: str, names: Mapping[str, Any]) -> Iterator[Problem]:
    if name not in names:
        yield Problem(place, f"unknown `{name}`", choice(name, names))


# -- labels ------------------------------------------------------------------------------------------------------------


def _labels(data: PolicyFile, _: Points) -> Iterator[Problem]:
    for label in VIOLATION_IDS:
        if label not in data.labels:
            yield Problem(("labels",), f"`{label}` is missing", "Every label needs an entry; its clause may be off.")
    violations = dict.fromkeys(VIOLATION_IDS)
    for label, rule in data.labels.items():
        yield from _known(("labels", label), label, violations)
        yield from _known(("labels", label, "clause"), rule.clause, data.clauses)
        yield from _known(("labels", label, "ladder"), rule.ladder, data.ladders)
    yield from _known(("borderline_ladder",), data.borderline_ladder, data.ladders)


def _thresholds(data: PolicyFile, points: Points) -> Iterator[Problem]:
    """A number contradicts the file; an operating point may be another with the next checkpoint, so it only warns."""
    edges: list[tuple[Place, str, Any, float | None]] = [
        (("labels", label, "borderline_below"), label, rule.threshold, rule.borderline_below)
        for label, rule in data.labels.items()
    ]
    edges.append((("distress", "urgent_above"), DISTRESS, data.distress.threshold, data.distress.urgent_above))
    for place, label, threshold, edge in edges:
        at = points.get(label, 0.0) if threshold == "model" else threshold
        if edge is None or edge > at:
            continue
        whose = "the checkpoint's operating point" if threshold == "model" else "the threshold"
        follows = "every distress is urgent" if label == DISTRESS else "it is never reached"
        what = f"{edge} is not above {whose} {at}, so {follows}"
        yield Problem(place, what, f"Write a number above {at}, or lower the threshold.", threshold == "model")


def _clauses(data: PolicyFile, _: Points) -> Iterator[Problem]:
    used = {rule.clause for rule in data.labels.values()}
    for name in data.clauses:
        if name not in used:
            yield Problem(("clauses", name), "no label uses this clause", "Point a label at it, or drop it.", True)


def _distress(data: PolicyFile, _: Points) -> Iterator[Problem]:
    if data.distress.group in {rule.group for rule in data.labels.values()}:
        what = f"`{data.distress.group}` is shared with a violation; distress has its own cases"
        yield Problem(("distress", "group"), what, "Give it a name that no label has.")
    if data.distress.urgent_priority > data.distress.priority:
        what = f"{data.distress.urgent_priority} is less urgent than {data.distress.priority}"
        yield Problem(("distress", "urgent_priority"), what, f"Write {data.distress.priority} or one before it.")


# -- ladder and authority ----------------------------------------------------------------------------------------------


def _ladders(data: PolicyFile, _: Points) -> Iterator[Problem]:
    for name, ladder in data.ladders.items():
        place: Place = ("ladders", name, "rungs")
        for number, rung in enumerate(ladder.rungs):
            if rung.action not in _PUNISHMENTS:
                yield Problem((*place, number, "action"), f"`{rung.action}` is no rung", choice("", _PUNISHMENTS))
        actions = [rung.action for rung in ladder.rungs]
        for number, (before, after) in enumerate(pairwise(actions), 1):
            if before not in _PUNISHMENTS or after not in _PUNISHMENTS:
                continue
            if before is Action.TERMINATE:
                what = "comes after terminate, which ends the contract, and is never reached"
                yield Problem((*place, number, "action"), what, "Leave the rung out, or put it before.")
            elif MILD_TO_HARSH.index(after) < MILD_TO_HARSH.index(before):
                what = f"{after} is milder than {before} before it: rungs rise from mild to harsh"
                yield Problem((*place, number, "action"), what, "Put the rungs in order.")
        if len(actions) > MAX_STRIKES + 1:
            what = f"never reached: an author's last {MAX_STRIKES} strikes are remembered"
            yield Problem((*place, MAX_STRIKES + 1), what, "Leave out this rung and those behind it.")


def _rungs_within_authority(data: PolicyFile, _: Points) -> Iterator[Problem]:
    """judge holds such a rung and asks a person, so `human: false` on it is a promise that nothing keeps."""
    for name, ladder in data.ladders.items():
        for number, rung in enumerate(ladder.rungs):
            if rung.action in _PUNISHMENTS and rung.action not in data.authority.model and not rung.human:
                what = f"nobody can carry out {rung.action} without a person: authority.model lacks it"
                remedy = f"Add `human: true` to the rung, or {rung.action} to authority.model."
                if rung.action is Action.TERMINATE:
                    remedy = "Add `human: true` to the rung."
                yield Problem(("ladders", name, "rungs", number), what, remedy)


def _ladders_in_use(data: PolicyFile, _: Points) -> Iterator[Problem]:
    used = {rule.ladder for rule in data.labels.values()} | {data.borderline_ladder}
    for name in data.ladders:
        if name not in used:
            yield Problem(("ladders", name), "nobody uses this ladder", "Name it in a label, or leave it out.")


def _authority(data: PolicyFile, _: Points) -> Iterator[Problem]:
    authority = data.authority
    if authority.held_as is not Action.LIMIT_VISIBILITY:
        what = "must be limit_visibility, the one reversible hold"
        yield Problem(("authority", "held_as"), what, "Write limit_visibility.")
    elif authority.held_as not in authority.model:
        what = f"lacks {authority.held_as}, which holds whatever is beyond the model"
        yield Problem(("authority", "model"), what, f"Add {authority.held_as}.")
    for number, action in enumerate(authority.model):
        if action is Action.TERMINATE:
            what = "a termination needs two people and never the model"
            yield Problem(("authority", "model", number), what, "Leave it out.")
        elif action not in _PUNISHMENTS:
            yield Problem(("authority", "model", number), f"`{action}` is no rung of a ladder", "Leave it out.")
    for number, action in enumerate(authority.clock):
        if action is not Action.REMOVE:
            what = f"a request that ran out leads to remove and to nothing else, not to {action}"
            yield Problem(("authority", "clock", number), what, "Write remove, or leave the list empty.")


def _deadlines(data: PolicyFile, _: Points) -> Iterator[Problem]:
    for sooner, later in pairwise(Priority):
        if data.clocks.due(later) < data.clocks.due(sooner):
            what = f"{later} would be due before {sooner}, which is more urgent"
            yield Problem(("clocks", f"{later}_minutes"), what, f"Write {sooner}'s minutes or more.")


def _suspension(data: PolicyFile, _: Points) -> Iterator[Problem]:
    if data.suspend_after_confirmed > MAX_STRIKES:
        what = f"never reached: an author's last {MAX_STRIKES} strikes are remembered"
        yield Problem(("suspend_after_confirmed",), what, f"Write {MAX_STRIKES} or less.")


# -- bodies and links --------------------------------------------------------------------------------------------------


def _named_bodies(data: PolicyFile) -> Iterator[tuple[Place, str]]:
    """Every place that names a body."""
    for label, rules in data.routes.items():
        yield from ((("routes", label, number, "body"), rule.body) for number, rule in enumerate(rules))
    yield from ((("care", "contacts", n), body) for n, body in enumerate(data.care.contacts))
    yield from ((("resources_in_distress", n), body) for n, body in enumerate(data.resources_in_distress))
    yield from ((("imminent_routes", n, "body"), rule.body) for n, rule in enumerate(data.imminent_routes))
    yield ("staff_first", "body"), data.staff_first.body


def _bodies(data: PolicyFile, _: Points) -> Iterator[Problem]:
    seen: set[Place] = set()
    for place, name in _named_bodies(data):
        yield from _known(place, name, data.bodies)
        here = (*(step for step in place if not isinstance(step, int)), name)
        if here in seen:
            yield Problem(place, f"`{name}` stands twice in one list", "Keep the first: the other is not shown.", True)
        seen.add(here)
    used = {name for _, name in _named_bodies(data)}
    for name in data.bodies:
        if name not in used:
            remedy = "Name it in routes, imminent_routes, staff_first, care or resources_in_distress, or leave it out."
            yield Problem(("bodies", name), "nobody is sent to this body", remedy)
    for number, name in enumerate(data.care.contacts):
        if name in data.bodies and not data.bodies[name].hours.strip():
            what = f"`{name}` has no hours, which the message must give"
            yield Problem(("care", "contacts", number), what, f"Add hours to bodies.{name}.")


def _route_labels(data: PolicyFile, _: Points) -> Iterator[Problem]:
    for label in data.routes:
        yield from _known(("routes", label), label, dict.fromkeys(VIOLATION_IDS))


def _resources(data: PolicyFile, _: Points) -> Iterator[Problem]:
    for label in data.resources:
        yield from _known(("resources", label), label, BY_ID)


# -- words and signs ---------------------------------------------------------------------------------------------------


def _reasons(data: PolicyFile, _: Points) -> Iterator[Problem]:
    for name in REASONS:
        if name not in data.reasons:
            yield Problem(("reasons",), f"`{name}` is missing", f"Add {name}: and its words.")
    for name in data.reasons:
        yield from _known(("reasons", name), name, REASONS)


def _signs(data: PolicyFile, _: Points) -> Iterator[Problem]:
    """Each word, sign and exception by itself; one that uses a word which is wrong already is left alone."""
    pieces: dict[str, str] = {}
    broken: set[str] = set()
    for name, piece in data.imminent_words.items():
        place: Place = ("imminent_words", name)
        if not signs.NAME.fullmatch(name):
            yield Problem(place, f"`{word(name)}` is no name of a word", "Use small letters and _ only.")
        found = list(_expression(place, piece, pieces, broken, may_be_empty=True))
        yield from found
        if found or broken & set(signs.names(piece)):
            broken.add(name)
        else:
            pieces[name] = signs.expand(piece, pieces)
    for section, expressions in (
        ("imminent_signs", data.imminent_signs),
        ("imminent_except", data.imminent_except),
    ):
        for number, one in enumerate(expressions):
            yield from _expression((section, number), one, pieces, broken, may_be_empty=False)


def _expression(
    place: Place, one: str, pieces: Mapping[str, str], broken: Collection[str], *, may_be_empty: bool
) -> Iterator[Problem]:
    if set(signs.names(one)) & set(broken):
        return
    try:
        whole = signs.expand(one, pieces)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # what may mean something else in another Python
            empty = re.search(whole, "")
    except KeyError as error:
        remedy = f"{choice(error.args[0], pieces)} A word may hold those before it."
        yield Problem(place, f"unknown word {{{error.args[0]}}}", remedy)
        return
    except ValueError:
        what = f"grows over {signs.LONGEST_CHARACTERS:,} characters with its words in place"
        yield Problem(place, what, "Use fewer words in words.")
        return
    except (re.error, RecursionError, OverflowError, Warning) as error:
        yield Problem(place, f"`{one}` is no regular expression: {error}", "Mend it, or put `\\` before a mark.")
        return
    if empty and not may_be_empty:
        yield Problem(place, f"`{one}` matches every text", "Look for an empty branch, or for `*` and `?`.")


def _legal_reviewers(data: PolicyFile, _: Points) -> Iterator[Problem]:
    if data.legal_reviewers is None:
        return
    yield from _expression(("legal_reviewers",), data.legal_reviewers, {}, (), may_be_empty=False)


# The sections that a rule reads, and the rule.
RULES: Final[tuple[tuple[str, Rule], ...]] = (
    ("labels clauses ladders borderline_ladder", _labels),
    ("labels distress", _thresholds),
    ("labels clauses", _clauses),
    ("labels distress", _distress),
    ("ladders", _ladders),
    ("ladders authority", _rungs_within_authority),
    ("ladders labels borderline_ladder", _ladders_in_use),
    ("authority", _authority),
    ("clocks", _deadlines),
    ("suspend_after_confirmed", _suspension),
    ("bodies routes care resources_in_distress imminent_routes staff_first", _bodies),
    ("routes", _route_labels),
    ("resources", _resources),
    ("reasons", _reasons),
    ("imminent_words imminent_signs imminent_except", _signs),
    ("legal_reviewers", _legal_reviewers),
    ("notices restored", lambda data, _: policy_words.notices(data)),
    ("notices reasons notices_in_distress care", lambda data, _: policy_words.placeholders(data)),
    ("notices_in_distress care", lambda data, _: policy_words.care(data)),
)


# -- days --------------------------------------------------------------------------------------------------------------


def stale(data: PolicyFile, today: date) -> list[str]:
    """Bodies whose contact was verified longer ago than the policy allows."""
    limit = timedelta(days=data.contact_max_age_days)
    return [name for name, body in data.bodies.items() if today - body.verified_at > limit]


def dated(data: PolicyFile, today: date) -> Iterator[Problem]:
    """What is wrong on that day: contacts to verify again, and days that are still to come. All of it warns only."""
    for name in stale(data, today):
        days = (today - data.bodies[name].verified_at).days
        what = f"the contact was verified {days} days ago; {data.contact_max_age_days} are allowed"
        remedy = f"Check {data.bodies[name].contact} at its source, then write the day."
        yield Problem(("bodies", name, "verified_at"), what, remedy, True)
    dates: list[tuple[Place, date]] = [
        *((("clauses", name, "verified_at"), clause.verified_at) for name, clause in data.clauses.items()),
        *((("bodies", name, "verified_at"), body.verified_at) for name, body in data.bodies.items()),
    ]
    for place, day in dates:
        if day > today + timedelta(days=1):  # it may be tomorrow already where it was verified
            yield Problem(place, f"{day} is still to come", "Write the day on which it was verified.", True)
