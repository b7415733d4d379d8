"""What stands on a post, and what an edit, a deletion or a verdict makes of it. Pure; step 3 of workers.decide.

One measure stands at a time, and a harsher one takes its place. Only a measure against the author (利用停止, 解約)
leaves room for one on the post beside it: a suspended author's post can still turn into what must not be seen.
"""

from typing import Final

from workers.events import Action
from workers.judge import Judgement
from workers.policy import MILD_TO_HARSH, Policy
from workers.state import PostRow, changed

ACCOUNT: Final = (Action.SUSPEND, Action.TERMINATE)
_HIDING: Final = (Action.LIMIT_VISIBILITY, Action.REMOVE)


def on_post(row: PostRow) -> Action:
    """What stands on the post itself."""
    return row.beside if row.standing in ACCOUNT else row.standing


def reconcile(policy: Policy, row: PostRow, judgement: Judgement) -> tuple[PostRow, Action, list[str]]:
    """An edit never punishes twice: the row without what the edit settled, what is left to do, and why."""
    reasons = list(judgement.reasons)
    standing = row.standing
    running = row.clock is not None or row.stopped
    stops = (judgement.in_distress or not judgement.violations) and running
    # A request may have no clock: of staff to a person in distress, or one run out without authority to remove.
    if stops or (standing is Action.REQUEST_REMOVAL and not judgement.flagged):
        if not judgement.violations:
            reasons.append(policy.reason("settled"))
        standing = Action.NONE
        # A hold that follows at once still supersedes the request.
        superseded = "" if judgement.action is Action.NONE else row.standing_id
        row = changed(row, standing=Action.NONE, standing_id=superseded, clock=None, stopped=False, asked=[])
    elif standing is Action.REQUEST_REMOVAL and _done(row, judgement):
        # What is left deserves a warning at most, and that it was no good the author has been told.
        warned = changed(row, standing=Action.WARN, clock=None, stopped=False, asked=[])
        return warned, Action.NONE, [*reasons, policy.reason("settled")]
    if not judgement.violations:
        held = on_post(row) is Action.LIMIT_VISIBILITY and (row.standing_automated or standing in ACCOUNT)
        if held and not judgement.in_distress:
            return row, Action.RESTORE, [*reasons, policy.reason("lifted")]
        return row, Action.NONE, reasons
    wanted = _on_the_post(policy, judgement.action) if standing in ACCOUNT else judgement.action
    stands = on_post(row) is not Action.NONE or standing in ACCOUNT
    if stands and _rank(on_post(row)) >= _rank(wanted):
        return row, Action.NONE, [*reasons, policy.reason("standing", action=standing.value)]
    return row, wanted, reasons


def _done(row: PostRow, judgement: Judgement) -> bool:
    """None of the labels that the request was about is left, nor anything else that deserves one."""
    left = set(row.asked) & set(judgement.violations)
    milder = _rank(judgement.action) < _rank(Action.REQUEST_REMOVAL)
    return bool(row.asked and judgement.violations) and milder and not left


def _on_the_post(policy: Policy, action: Action) -> Action:
    """What a rung means for the post of an author who is suspended already: it is hidden or gone, or nothing more."""
    if action in ACCOUNT:
        return Action.REMOVE if Action.REMOVE in policy.data.authority.model else policy.data.authority.held_as
    return action if action in _HIDING else Action.NONE


def _rank(action: Action) -> int:
    return MILD_TO_HARSH.index(action)


def after_deletion(row: PostRow) -> PostRow:
    """What the author may still appeal stays; a platform that removed the post may report it as deleted."""
    left: PostRow = changed(row, clock=None, stopped=False, asked=[])
    if left.standing not in (Action.REMOVE, *ACCOUNT):
        left = changed(left, standing=Action.NONE, standing_id="")
    return left if left.beside is Action.REMOVE else changed(left, beside=Action.NONE, beside_id="")


def posted_anew(row: PostRow) -> PostRow:
    """A removed post that was deleted and is written again is judged again."""
    if row.deleted and row.standing is Action.REMOVE:
        row = changed(row, standing=Action.NONE, standing_id="")
    if row.deleted and row.beside is Action.REMOVE:
        row = changed(row, beside=Action.NONE, beside_id="")
    return row


def superseded(row: PostRow, action: Action, *, automated: bool) -> list[str]:
    """The action_ids that `action` takes the place of."""
    if automated and row.standing in ACCOUNT:
        return [row.beside_id] if row.beside_id else []
    return [one for one in (row.standing_id, row.beside_id) if one]


def put(row: PostRow, action: Action, action_id: str, *, automated: bool, revision: int, asked: list[str]) -> PostRow:
    """The row on which `action` now stands; restore leaves nothing. The machine moves nothing that a person ordered."""
    if action is Action.RESTORE:
        action, action_id = Action.NONE, ""
    if automated and row.standing in ACCOUNT:
        hidden: PostRow = changed(row, beside=action, beside_id=action_id)
        return hidden
    now: PostRow = changed(
        row,
        standing=action,
        standing_id=action_id,
        standing_automated=automated,
        standing_revision=revision,
        beside=Action.NONE,
        beside_id="",
        asked=asked if action is Action.REQUEST_REMOVAL else [],
        stopped=False,
    )
    return now


def lift(row: PostRow, revision: int, *, guilty: bool, guilty_until: bool) -> tuple[PostRow, list[tuple[Action, str]]]:
    """Without what was decided up to `revision`, and what that was.

    `guilty`: a violation is left on the post, so it stays hidden or asked for. `guilty_until`: one up to that revision
    as well, so its author stays suspended, too.
    """
    account = row.standing in ACCOUNT
    beside = [] if guilty or row.beside is Action.NONE else [(row.beside, row.beside_id)]
    stays = guilty_until if account else guilty
    reached = row.standing is not Action.NONE and row.standing_revision <= revision and not stays
    lifted = [(row.standing, row.standing_id)] * reached + beside
    if beside:
        row = changed(row, beside=Action.NONE, beside_id="")
    if reached:  # a hold beside a lifted suspension is what stands from now on
        row = changed(
            row,
            standing=row.beside,
            standing_id=row.beside_id,
            standing_automated=True if row.beside is not Action.NONE else row.standing_automated,
            beside=Action.NONE,
            beside_id="",
            asked=[],
            stopped=False,
        )
    return row, lifted
