"""Calibration and operating points against cases worked out by hand."""

from collections.abc import Iterable

import pytest
import torch

from models.calibrate import operating_point, operating_points, platt
from models.labels import LABEL_IDS


def point(groups: Iterable[tuple[int, float, int]], miss_cost: float = 1.0, alarm_cap: float = 1.0) -> float:
    """(how many, score, 1 or 0) …"""
    rows = [(score, target) for count, score, target in groups for _ in range(count)]
    targets = torch.tensor([float(t) for _, t in rows])
    return operating_point(torch.tensor([s for s, _ in rows]), targets, miss_cost, targets == 0, alarm_cap)


def test_operating_point_with_too_little_to_tell() -> None:
    assert point([(14, 0.8, 1), (100, 0.3, 0)]) == 0.5
    assert point([(100, 0.3, 0)]) == 0.5


def test_operating_point_of_a_clean_cut_is_in_its_middle() -> None:
    assert point([(15, 0.805, 1), (100, 0.305, 0)]) == pytest.approx(0.56, abs=0.011)  # equals: 0.31 … 0.80


def test_operating_point_weighs_misses_by_their_cost() -> None:
    """Low finds all 20 with 30 false: F1 0.571, F(2) 0.667. High finds 10 with none false: F1 0.667, F(2) 0.6."""
    groups = [(10, 0.805, 1), (10, 0.405, 1), (30, 0.505, 0), (50, 0.1, 0)]
    assert 0.50 < point(groups) <= 0.81
    assert 0.20 <= point(groups, 2.0) <= 0.41


def test_operating_point_stays_in_its_range() -> None:
    assert 0.2 <= point([(20, 0.05, 1), (20, 0.01, 0)]) <= 0.9
    assert 0.2 <= point([(20, 0.99, 1), (20, 0.95, 0)]) <= 0.9


def test_calibration_finds_what_was_bent() -> None:
    generator = torch.Generator().manual_seed(1)
    true = torch.randn(20_000, generator=generator) * 2
    targets = (torch.rand(20_000, generator=generator) < torch.sigmoid(true)).float()
    slope, intercept = platt((true + 1) * 2, targets)
    assert slope == pytest.approx(0.5, abs=0.03)
    assert intercept == pytest.approx(-1.0, abs=0.1)
    slope, intercept = platt(torch.tensor([3.0, -3.0]), torch.tensor([1.0, 0.0]))
    assert 0.3 < slope < 3
    assert abs(intercept) < 0.5


def test_the_cap_on_false_alarms_comes_before_the_cost_of_a_miss() -> None:
    groups = [(10, 0.805, 1), (10, 0.405, 1), (30, 0.505, 0), (50, 0.1, 0)]
    assert 0.50 < point(groups, 2.0, alarm_cap=0.3) <= 0.81  # 30 of 80 is over the cap
    assert 0.20 <= point(groups, 2.0, alarm_cap=0.4) <= 0.41
    assert point([(20, 0.95, 1), (20, 0.95, 0)], alarm_cap=0.1) == 0.9  # none is within: the strictest


def test_a_floor_stands_whatever_validation_says() -> None:
    scores = torch.full((200, len(LABEL_IDS)), 0.01)
    scores[:100] = 0.25
    targets = (scores > 0.1).float()
    found = operating_points(scores, targets)
    assert found["suicide_inducement"] == 0.4
    assert found["insult"] == 0.3
    assert found["distress"] == pytest.approx(0.22, abs=0.03)
