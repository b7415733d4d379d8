"""Each kind of mistake in a policy: told with its line, its place and what to do; and nothing is told of a sound one."""
# ruff: noqa: E501 # one case a line reads as a table

from datetime import date
from typing import Final

import pytest

from tests.unit.policies import POINTS, TEXT, Edited, edited
from workers import policy, policy_rules
from workers.state import MAX_STRIKES

INSULT: Final = (
    "  insult:\n    {clause: model-rights, threshold: model, severity: borderline, ladder: caution, group: rights"
)
ONE_RUNG: Final = "rungs: [{action: remove, human: true}]\n"
CAUTION: Final = "rungs: [{action: warn}, {action: request_removal}, {action: limit_visibility, human: true}]\n  ask"
WORDS: Final = TEXT[TEXT.index("reasons: ") : TEXT.index("  reports: ")]
MANY: Final = ", ".join(["{action: warn}"] * MAX_STRIKES)

# (what stands in the default, what stands in its place with § where to look, how the problem begins, the remedy)
# fmt: off
MISTAKES: Final = [
    # -- keys and types
    ("title: mimamori 標準", "§titel: mimamori 標準", "titel: unknown key", "Did you mean `title`?"),
    ("schema: policy/1", "§schema: policy/2", "schema: unknown `policy/2`", "Did you mean `policy/1`?"),
    ("effective: 2025-04-25", "§effective: soon", "effective: Invalid", "Wanted: day from which on it holds."),
    ("effective: 2025-04-25", "§effective: 2025-13-45", "effective: `2025-13-45` is no timestamp: month", "Correct it"),
    ("reports_raise: {at: 5", "§reports_raise: {att: 5", "reports_raise.att: unknown key", "Did you mean `at`?"),
    ("appeal_days: 14, ", "§", "clocks: `appeal_days` is missing", "Add appeal_days: days in which an author may appeal."),
    ("strike_days: 90", "§strike_days: 0", "windows.strike_days: Expected `int` >= 1, not 0", "Wanted: days in which"),
    ("strike_days: 90", "§strike_days: 3651", "windows.strike_days: Expected `int` <= 3650", "Wanted: days in which"),
    ("care_hours: 24", "§care_hours: 23", "windows.care_hours: Expected `int` >= 24", "Wanted: hours between"),
    ("remember_days: 30", "§remember_days: 29", "windows.remember_days: Expected `int` >= 30", "Wanted: days for"),
    ("removal_hours: 24", "§removal_hours: 87601", "clocks.removal_hours: Expected `int` <= 87600", "Wanted: hours"),
    ("strike_days: 90", "§strike_days: many", "windows.strike_days: Expected `int`, got `str`, not many", "Wanted: "),
    ('contact: "110"', "§contact: 110", "bodies.police_110.contact: Expected `str`, got `int`", "put it in quotes."),
    ('contact: "#9110"', "§contact:", "bodies.police_cyber.contact: Expected `str`, got `null`", "put it in quotes."),
    ("hours: 24時間", "§hours: 24:00", "bodies.yorisoi.hours: Expected `str`, got `int`", "put it in quotes."),
    ("contacts: [yorisoi, inochi_sos, inochi_denwa, mamorou]", "§contacts: []", "care.contacts: Expected `array` of length >= 1", "Wanted: keys under `bodies`"),
    ("    count: any\n    rungs: [{action: warn}", "    §count: all\n    rungs: [{action: warn}", "ladders.caution.count: unknown `all`", "Known are any, same."),
    # -- typos in names
    (INSULT, INSULT.replace("  insult:", "  §insolt:"), "labels.insolt: unknown `insolt`", "Did you mean `insult`?"),
    ("\nlabels:\n  defamation", "\n§labels:\n  distress", "labels: `defamation` is missing", "Every label needs an entry"),
    ("\nlabels:\n  defamation", "\nlabels:\n  §distress", "labels.distress: unknown `distress`", "Known are crime_aid, "),
    (INSULT, INSULT.replace("{clause: model-rights", "{§clause: model-right"), "labels.insult.clause: unknown `model-right`", "Did you mean `model-rights`?"),
    (INSULT, INSULT.replace("ladder: caution", "§ladder: cautoin"), "labels.insult.ladder: unknown `cautoin`", "Did you mean `caution`?"),
    (INSULT, INSULT.replace("threshold: model", "§threshold: modell"), "labels.insult.threshold: unknown `modell`", "Did you mean `model`?"),
    (INSULT, INSULT.replace("threshold: model", "§threshold: 1.0"), "labels.insult.threshold: Expected `float` < 1.0", "Wanted: score from which"),
    (INSULT, INSULT.replace("threshold: model", "§threshold: .nan"), "labels.insult.threshold: ", "Wanted: score from which"),
    (INSULT, INSULT.replace("severity: borderline", "§severity: none"), "labels.insult.severity: unknown `none`", "Known are borderline, grave, serious."),
    ("escalate: human, priority: P3", "§escalate: humans, priority: P3", "labels.insult.escalate: unknown `humans`", "Did you mean `human`?"),
    ("escalate: human, priority: P3", "escalate: human, §priority: P4", "labels.insult.priority: unknown `P4`", "Known are P0, P1, P2, P3."),
    ("borderline_ladder: caution", "§borderline_ladder: stairs", "borderline_ladder: unknown `stairs`", "Known are ask, caution, grave, inducement."),
    ("rungs: [{action: warn}", "rungs: [{§action: wran}", "ladders.caution.rungs[0].action: unknown `wran`", "Did you mean `warn`?"),
    ("model: [warn, request_removal", "model: [warn, §request_removl", "authority.model[1]: unknown `request_removl`", "Did you mean `request_removal`?"),
    ("\n  insult:\n    - {body: ihaho", "\n  §insultt:\n    - {body: ihaho", "routes.insultt: unknown `insultt`", "Did you mean `insult`?"),
    ("\n  threat:\n    - {body: police_110", "\n  threat:\n    - {§body: police_11", "routes.threat[0].body: unknown `police_11`", "Did you mean `police_110`?"),
    ("contacts: [yorisoi", "contacts: [§yorisoy", "care.contacts[0]: unknown `yorisoy`", "Did you mean `yorisoi`?"),
    ("resources_in_distress: [yorisoi", "resources_in_distress: [§yorisoy", "resources_in_distress[0]: unknown `yorisoy`", "Did you mean"),
    ("imminent_routes:\n  - {body: police_110", "imminent_routes:\n  - {§body: police110", "imminent_routes[0].body: unknown `police110`", "Did you mean `police_110`?"),
    ("staff_first: {body: staff", "staff_first: {§body: boss", "staff_first.body: unknown `boss`", "Known are fire_119, "),
    ("\n  threat: [\"https://no", "\n  §threats: [\"https://no", "resources.threats: unknown `threats`", "Did you mean `threat`?"),
    ("  benign: 違反", "  §bening: 違反", "reasons.bening: unknown `bening`", "Did you mean `benign`?"),
    (WORDS, f"§{WORDS[: WORDS.index('  minor')]}", "reasons: `minor` is missing", "Add minor:"),
    ("  warn:\n    title: ご", "  §warm:\n    title: ご", "notices.warm: unknown `warm`", "Did you mean `warn`?"),
    # -- thresholds
    (INSULT, INSULT.replace("threshold: model", "threshold: 0.7, §borderline_below: 0.7"), "labels.insult.borderline_below: 0.7 is not above the threshold 0.7, so it is never reached", "Write a number above 0.7"),
    (INSULT, INSULT.replace("threshold: model", "threshold: model, §borderline_below: 0.4"), "warning: labels.insult.borderline_below: 0.4 is not above the checkpoint's operating point 0.5", "Write a number above 0.5"),
    ("distress: {threshold: model, ", "distress: {threshold: 0.95, §", "distress.urgent_above: 0.9 is not above the threshold 0.95, so every distress is urgent", "Write a number above"),
    ("urgent_above: 0.9", "§urgent_above: 0.3", "warning: distress.urgent_above: 0.3 is not above the checkpoint's operating point 0.5", "Write a number above"),
    ("urgent_priority: P1", "§urgent_priority: P3", "distress.urgent_priority: P3 is less urgent than P2", "Write P2 or one before it."),
    ("urgent_priority: P1, group: care", "urgent_priority: P1, §group: life", "distress.group: `life` is shared with a violation", "Give it a name"),
    ("P1_minutes: 60", "§P1_minutes: 10", "clocks.P1_minutes: P1 would be due before P0", "Write P0's minutes or more."),
    # -- rungs
    (CAUTION, CAUTION.replace("[{action: warn}, {", "[{action: remove, human: true}, {§"), "ladders.caution.rungs[1].action: request_removal is milder than remove", "Put the rungs in order."),
    (CAUTION, CAUTION.replace("{action: warn}", "{§action: none}"), "ladders.caution.rungs[0].action: `none` is no rung", "Known are limit_visibility, "),
    (CAUTION, CAUTION.replace("limit_visibility, human: true", "limit_visibility}, {§action: restore"), "ladders.caution.rungs[3].action: `restore` is no rung", "Known are"),
    (ONE_RUNG, "rungs: [{action: terminate, human: true}, {§action: terminate, human: true}]\n", "ladders.grave.rungs[1].action: comes after terminate", "Leave the rung out"),
    (ONE_RUNG, "rungs: [{action: terminate, human: true}, {§action: suspend, human: true}]\n", "ladders.grave.rungs[1].action: comes after terminate", "Leave the rung out"),
    (CAUTION, CAUTION.replace("{action: warn}", f"{{action: warn}}, {MANY}").replace("{action: limit", "§{action: limit"), f"ladders.caution.rungs[{MAX_STRIKES + 1}]: never reached", "Leave out this rung"),
    (ONE_RUNG, "rungs: [§{action: remove}]\n", "ladders.grave.rungs[0]: nobody can carry out remove without a person", "Add `human: true` to the rung, or remove to authority.model."),
    (ONE_RUNG, "rungs: [§{action: terminate}]\n", "ladders.grave.rungs[0]: nobody can carry out terminate", "Add `human: true` to the rung."),
    ("suspend_after_confirmed: 3 ", f"§suspend_after_confirmed: {MAX_STRIKES + 1} ", "suspend_after_confirmed: never reached", "Write 200 or less."),
    # -- authority
    ("held_as: limit_visibility", "§held_as: warn", "authority.held_as: must be limit_visibility", "Write limit_visibility."),
    ("model: [warn, request_removal, limit_visibility]", "§model: [warn, request_removal]", "authority.model: lacks limit_visibility, which holds", "Add limit_visibility."),
    ("model: [warn, request", "model: [§terminate, warn, request", "authority.model[0]: a termination needs two people", "Leave it out."),
    ("model: [warn, request", "model: [§restore, warn, request", "authority.model[0]: `restore` is no rung", "Leave it out."),
    ("clock: [remove]", "clock: [remove, §suspend]", "authority.clock[1]: a request that ran out leads to remove", "Write remove, or"),
    # -- what nobody uses
    ("ladders:\n", "ladders:\n  §spare: {count: any, rungs: [{action: warn}]}\n", "ladders.spare: nobody uses this ladder", "Name it in a label"),
    ("\nbodies: ", "\nbodies:\n  §spare: {name: x, contact: y, source: z, verified_at: 2025-07-30}\n#", "bodies.spare: nobody is sent to this body", "Name it in routes"),
    ("clauses:    ", "clauses:\n  §spare: {title: x, source: z, verified_at: 2025-07-30}\n#", "warning: clauses.spare: no label uses this clause", "Point a label at it"),
    ("    - {body: houterasu,", "    - {§body: ihaho, why: もう一度}\n    - {body: houterasu,", "warning: routes.defamation[3].body: `ihaho` stands twice", "Keep the first"),
    ("contacts: [yorisoi", "contacts: [§ihaho", "care.contacts[0]: `ihaho` has no hours", "Add hours to bodies.ihaho."),
    # -- regular expressions
    ("imminent_signs:\n", "imminent_signs:\n  - §(今夜\n", "imminent_signs[0]: `(今夜` is no regular expression", "Mend it"),
    ("imminent_signs:\n", "imminent_signs:\n  - §'[[今]夜'\n", "imminent_signs[0]: `[[今]夜` is no regular expression: Possible nested set", "Mend it"),
    ("imminent_signs:\n", "imminent_signs:\n  - §'今夜|'\n", "imminent_signs[0]: `今夜|` matches every text", "Look for an empty branch"),
    ("imminent_signs:\n", "imminent_signs:\n  - §''\n", "imminent_signs[0]: `` matches every text", "Look for an empty branch"),
    ("imminent_signs:\n", f"imminent_signs:\n  - §'{'(' * 2_000}今{')' * 2_000}'\n", "imminent_signs[0]: `((((", "Mend it"),
    ("imminent_signs:\n", "imminent_signs:\n  - §今{1,99999999999}\n", "imminent_signs[0]: `今{1,99999999999}` is no regular expression", "Mend it"),
    ("imminent_signs:\n", "imminent_signs:\n  - §'{tonite}死'\n", "imminent_signs[0]: unknown word {tonite}", "A word may hold those before it."),
    ("imminent_words:\n", "imminent_words:\n  §early: '{now}'\n", "imminent_words.early: unknown word {now}", "There is none: leave it out. A word"),
    ("imminent_words:\n", "imminent_words:\n  §odd: '(夜'\n", "imminent_words.odd: `(夜` is no regular expression", "Mend it"),
    ("imminent_words:\n", "imminent_words:\n  §Odd: 夜\n", "imminent_words.Odd: `Odd` is no name of a word", "Use small letters"),
    ("imminent_words:\n", f"imminent_words:\n  l: {'夜' * 1_000}\n  m: '{'{l}' * 19}'\n  §n: '{{m}}{{m}}'\n", "imminent_words.n: grows over 20,000 characters", "Use fewer words in words."),
    ("imminent_except:\n", "imminent_except:\n  - §昔|\n", "imminent_except[0]: `昔|` matches every text", "Look for an empty branch"),
]
# fmt: on


@pytest.mark.parametrize(("before", "after", "begins", "remedy"), MISTAKES, ids=[case[2][:60] for case in MISTAKES])
def test_a_mistake_is_told_with_its_line_and_remedy(before: str, after: str, begins: str, remedy: str) -> None:
    found = edited(before, after)
    told = [line for line in found.told() if line.startswith(f"mine.yml:{found.line}: {begins}")]
    assert len(told) == 1, "\n".join(found.told())
    assert remedy in told[0].split(begins, 1)[1]


def test_the_default_has_nothing_to_tell() -> None:
    found = policy.examine(TEXT, "mine.yml", POINTS)
    assert found.problems == []


def test_every_mistake_is_told_and_none_hides_another() -> None:
    """A typo in one section leaves the rules between the others standing."""
    text = TEXT
    for before, after in [
        ("strike_days: 90", "strike_dayz: 90"),
        ("borderline_ladder: caution", "borderline_ladder: stairs"),
        ("urgent_priority: P1", "urgent_priority: P3"),
        ("staff_first: {body: staff", "staff_first: {body: stuff"),
        ("[yorisoi, mamorou]\n", "[yorisoi, mamoru]\n"),
        ("title: あなたのことが気がかりです", "title: 頑張ってください"),
    ]:
        assert text.count(before) == 1
        text = text.replace(before, after)
    told = Edited(text, 0).told()
    assert [line.split(": ", 2)[1] for line in told] == [
        "distress.urgent_priority",
        "borderline_ladder",
        "windows.strike_dayz",
        "bodies.staff",
        "staff_first.body",
        "resources_in_distress[1]",
        "care.title",
    ]


def test_a_word_that_is_wrong_is_told_once_and_not_with_every_sign_that_uses_it() -> None:
    found = edited("imminent_words:\n  link: ", "imminent_words:\n  §link: '('\n  other: ")
    (told,) = found.told()
    assert told.startswith(f"mine.yml:{found.line}: imminent_words.link: `(` is no regular expression")


def test_a_section_that_cannot_be_read_is_not_judged_by_the_defaults() -> None:
    """Names of the unreadable section may stand there: what names them is left alone."""
    text = (
        TEXT.replace("caution", "mine").replace("{name: 法テラス", "{nome: 法テラス").replace("houterasu", "mine_too")
    )
    text = text.replace("  mine:\n    count: any", "  mine:\n    count: some")
    assert [line.split(": ", 2)[1] for line in Edited(text, 0).told()] == ["ladders.mine.count", "bodies.mine_too.nome"]


# -- days --------------------------------------------------------------------------------------------------------------


def on(today: date, found: Edited) -> list[str]:
    """What the calendar says of the marked line."""
    examined = policy.examine(found.text, "mine.yml", POINTS)
    assert examined.data is not None
    told = examined.told(policy_rules.dated(examined.data, today))
    return [line for line in told if line.startswith(f"mine.yml:{found.line}: ")]


def test_a_contact_is_stale_the_day_after_its_age_is_reached() -> None:
    found = edited("  sia_hotline: {", "  §sia_hotline: {")
    assert on(date(2027, 1, 26), found) == []
    (told,) = on(date(2027, 1, 27), found)
    assert "warning: bodies.sia_hotline.verified_at: the contact was verified 546 days ago; 545 are allowed" in told
    assert told.endswith("Check https://www.saferinternet.or.jp/bullying/ at its source, then write the day.")


@pytest.mark.parametrize(
    ("before", "place"),
    [
        ("自殺誘引等情報\n    verified_at: 2025-07-30", "clauses.model-suicide"),
        ("source: IHC, verified_at: 2025-07-30", "bodies.ihc"),
    ],
)
def test_a_day_that_is_still_to_come_is_told(before: str, place: str) -> None:
    found = edited(before, before.replace("verified_at: 2025", "§verified_at: 2052"))
    (told,) = on(date(2026, 1, 1), found)
    assert f"warning: {place}.verified_at: 2052-07-30 is still to come. Write the day" in told
    assert on(date(2052, 7, 29), found) == [], "it may be tomorrow already where it was verified"
