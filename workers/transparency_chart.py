"""Bars as inline SVG: no script, no style of its own, a title and a description that says every value. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from workers.page import attribute

_WIDTH: Final = 720
_NAMES: Final = 250  # px for the names at the left
_VALUES: Final = 90  # px for the numbers at the right
_ROW: Final = 30
_COLOURS: Final = ("#1f4e79", "#c05a00", "#4d7c0f", "#7a3e9d", "#8a1c1c")  # 4.5:1 on white, and none alone says it


@dataclass(frozen=True, slots=True)
class Bar:
    """One row: its name, and a length for each series; None is hidden, and drawn as x."""

    name: str
    lengths: tuple[float | None, ...]


def bars(id: str, title: str, series: Sequence[str], rows: Sequence[Bar], *, percent: bool = False) -> str:
    """A horizontal bar for each row, its series end to end."""
    longest = max((sum(length or 0 for length in row.lengths) for row in rows), default=0)
    scale = (_WIDTH - _NAMES - _VALUES) / longest if longest else 0.0
    top = 8 + (24 * -(-len(series) // 2) if len(series) > 1 else 0)
    height = top + _ROW * len(rows) + 8
    said = "; ".join(f"{row.name}: {_said(row, series, percent)}" for row in rows)
    lines = [
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-labelledby="{id}-title {id}-desc" font-size="14">',
        f'<title id="{id}-title">{attribute(title)}</title><desc id="{id}-desc">{attribute(said)}</desc>',
    ]
    if len(series) > 1:
        lines += [_legend(place, name) for place, name in enumerate(series)]
    for number, row in enumerate(rows):
        y = top + _ROW * number
        lines.append(f'<text x="{_NAMES - 8}" y="{y + 20}" text-anchor="end">{attribute(_short(row.name))}</text>')
        x = float(_NAMES)
        for place, length in enumerate(row.lengths):
            width = (length or 0) * scale
            if width:
                colour = _COLOURS[place % len(_COLOURS)]
                lines.append(f'<rect x="{x:.1f}" y="{y + 5}" width="{width:.1f}" height="20" fill="{colour}"/>')
            x += width
        lines.append(f'<text x="{x + 6:.1f}" y="{y + 20}">{attribute(_sum(row, percent))}</text>')
    return "\n".join([*lines, "</svg>"])


def _legend(place: int, name: str) -> str:
    """Two beside each other, so that long names fit."""
    x, y = place % 2 * _WIDTH // 2, place // 2 * 24
    box = f'<rect x="{x}" y="{y + 4}" width="14" height="14" fill="{_COLOURS[place % len(_COLOURS)]}"/>'
    return f'{box}<text x="{x + 20}" y="{y + 16}">{attribute(name)}</text>'


def _sum(row: Bar, percent: bool) -> str:
    if any(length is None for length in row.lengths):
        return "x"
    return _number(sum(length or 0 for length in row.lengths), percent)


def _said(row: Bar, series: Sequence[str], percent: bool) -> str:
    told = ["x" if length is None else _number(length, percent) for length in row.lengths]
    if len(series) == 1:
        return told[0]
    return ", ".join(f"{name} {value}" for name, value in zip(series, told, strict=True))


def _number(value: float, percent: bool) -> str:
    return f"{100 * value:.1f} %" if percent else f"{value:,.0f}"


def _short(name: str) -> str:
    """What fits; the table beside it has the whole."""
    return name if len(name) <= 17 else name[:16] + "…"
