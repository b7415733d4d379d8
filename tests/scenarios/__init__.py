"""Scenarios: what people do over days, and what has to follow. The *.yml files here are the table, by theme.

    - title: what it is about, in plain words
      story:
        - day 1 10:00 ann writes p1, insult: {action: warn under model-rights}
        - day 2 10:00 ann deletes p1: nothing

Each step is told as `what happened: what has to follow`. **What is not told must not happen**: no `action` means that
none may come, and the same holds for `case`, `care` and `dead letter`. What has to follow is what contract.md,
domain.md and workers/policies/default.yml demand. Where the code does something else, the scenario says so:

      wrong_today: why, in a sentence
      story:
        - ...: {case A: closed P3 defamation, today: {case A: updated P3 defamation}}

`today` tells what the code does instead (a key with nothing, `~`, is a thing that does not happen). Such a scenario
fails as soon as the code does what is demanded, and as soon as it does a third thing. Other keys of a scenario:
`policy` (places of the default policy with another value), `shadow: true`.

tests.scenarios.telling reads this language and lists all its words, tests.scenarios.stage acts it out on the real
pipeline, tests.scenarios.expecting compares. tests/unit/test_scenarios.py runs them all.
"""
