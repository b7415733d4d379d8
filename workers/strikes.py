"""What was found in a post, decision by decision, and the one strike that follows from it. Pure.

A post is one strike however often it is edited. The strike's labels are those that its decisions found and that staff
have not taken back: a confirmation counts for the one decision that it names, an overturn for that decision and all
before it, since what a later revision was found to be is another matter. What staff said was none stays none; only a
reopened matter may be confirmed again.

Rows from before decisions were told apart have no findings: what they hold is taken for one finding of the revision
before all others, which any verdict reaches.
"""

from collections.abc import Callable, Collection

from workers.state import MAX_DECISION_IDS, MAX_STRIKES, AuthorRow, Finding, PostRow, Strike, changed


def findings(author: AuthorRow, row: PostRow, post_id: str) -> dict[str, Finding]:
    """Decision → what it found in this post, oldest first."""
    if row.found or not row.labels:
        return row.found
    struck = of_post(author, post_id)
    old = Finding(
        revision=0,
        at_ms=row.last_ms,
        labels=list(dict.fromkeys([*(struck.labels if struck else []), *row.labels])),
        clause=row.clause,
        strike=struck is not None,
        confirmed=struck is not None and struck.confirmed,
    )
    return {row.decision_id: old}


def of_post(author: AuthorRow, post_id: str) -> Strike | None:
    """The strike that stands for a post."""
    return next((strike for strike in author.strikes if strike.post_id == post_id), None)


def noted(author: AuthorRow, row: PostRow, post_id: str, decision: str, finding: Finding) -> tuple[AuthorRow, PostRow]:
    """With what a new decision found, beside the `findings` that the row holds."""
    found = row.found | {decision: finding}
    return _counted(author, changed(row, found=dict([*found.items()][-MAX_DECISION_IDS:])), post_id)


def named(author: AuthorRow, row: PostRow, post_id: str, decision: str) -> tuple[str, Finding] | None:
    """What the decision that a review names found, and the decision under which that is kept; None: nothing."""
    found = findings(author, row, post_id)
    if not row.found:  # from before decisions were told apart
        return next(iter(found.items()), None)
    return (decision, found[decision]) if decision in found else None


def standing(author: AuthorRow, row: PostRow, post_id: str) -> list[str]:
    """The violations of all revisions that staff have not taken back."""
    found = findings(author, row, post_id)
    return list(dict.fromkeys(label for finding in found.values() for label in finding.stands))


def confirm(author: AuthorRow, row: PostRow, post_id: str, decision: str) -> tuple[AuthorRow, PostRow, bool]:
    """A person confirmed what one decision found; whether there was a violation to confirm."""
    kept = named(author, row, post_id, decision)
    if kept is None or not kept[1].stands:
        return author, row, False
    confirmed = {kept[0]: changed(kept[1], strike=True, confirmed=True)}
    row = changed(row, found=findings(author, row, post_id) | confirmed)
    return *_counted(author, row, post_id), True


def clear(
    author: AuthorRow, row: PostRow, post_id: str, revision: int, which: Callable[[str], bool]
) -> tuple[AuthorRow, PostRow]:
    """Staff said of `which` labels, in all revisions up to `revision`, that they were none."""
    return _marked(
        author,
        row,
        post_id,
        lambda _, one: (
            [*one.cleared, *(label for label in one.stands if which(label))]
            if one.revision <= revision
            else one.cleared
        ),
    )


def reopen(author: AuthorRow, row: PostRow, post_id: str, decisions: Collection[str]) -> tuple[AuthorRow, PostRow]:
    """What staff had taken back may be confirmed again; it is no strike until it is."""
    return _marked(
        author,
        row,
        post_id,
        lambda decision, one: [] if decision in decisions else one.cleared,
    )


def _marked(
    author: AuthorRow, row: PostRow, post_id: str, cleared: Callable[[str, Finding], list[str]]
) -> tuple[AuthorRow, PostRow]:
    found = findings(author, row, post_id)
    now = {decision: _with(one, cleared(decision, one)) for decision, one in found.items()}
    return _counted(author, changed(row, found=now), post_id)


def _with(finding: Finding, cleared: list[str]) -> Finding:
    """Taken back as a whole, it counts no more, also if it is reopened: then it has to be confirmed."""
    now: Finding = changed(finding, cleared=cleared)
    counts = finding.strike and bool(now.stands)
    left: Finding = changed(now, strike=counts, confirmed=counts and finding.confirmed)
    return left


def _counted(author: AuthorRow, row: PostRow, post_id: str) -> tuple[AuthorRow, PostRow]:
    """The author with the post's strike as its findings have it."""
    counting = {decision: one for decision, one in row.found.items() if one.strike and one.stands}
    others = [strike for strike in author.strikes if strike.post_id != post_id]
    before = of_post(author, post_id)
    if not counting:
        return (author if before is None else changed(author, strikes=others)), row
    first, finding = next(iter(counting.items()))
    strike = Strike(
        post_id=post_id,
        labels=list(dict.fromkeys(label for one in counting.values() for label in one.stands)),
        at_ms=before.at_ms if before else finding.at_ms,
        decision_id=before.decision_id if before else first,
        confirmed=any(one.confirmed for one in counting.values()),
    )
    strikes = sorted([*others, strike], key=lambda one: (one.at_ms, one.post_id))[-MAX_STRIKES:]
    return changed(author, strikes=strikes), row
