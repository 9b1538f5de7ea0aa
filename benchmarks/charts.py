"""Small charts as SVG, without a plotting library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

WIDTH, HEIGHT, MARGIN = 640, 360, 56
COLOURS = ("#2563eb", "#dc2626", "#059669", "#d97706", "#7c3aed")


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines over named places: `series` maps a line's name to one value (>= 0) per entry of `places`."""

    name: str
    title: str
    places: Sequence[str]
    series: Mapping[str, Sequence[float]]


def write_chart(chart: Chart, folder: Path) -> Path:
    """Write `chart` into `folder` (made if missing) as `<name>.svg` and return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{chart.name}.svg"
    path.write_text(svg_of(chart), encoding="utf-8")
    return path


def svg_of(chart: Chart) -> str:
    """Return the chart as one SVG document."""
    top = max((value for values in chart.series.values() for value in values), default=0.0) or 1.0
    parts = [_text(WIDTH / 2, 22, chart.title, "middle"), *_axes(chart.places, top)]
    for position, (name, values) in enumerate(chart.series.items()):
        colour = COLOURS[position % len(COLOURS)]
        parts.append(_line(values, top, colour))
        parts.append(_text(MARGIN + 8, MARGIN + 16 * position, name, "start", colour))
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="sans-serif" font-size="12">\n{body}\n</svg>\n'
    )


def _axes(places: Sequence[str], top: float) -> list[str]:
    left, right, bottom = MARGIN, WIDTH - MARGIN, HEIGHT - MARGIN
    frame = f"M{left} {MARGIN / 2}V{bottom}H{right}"
    labels = [_text(_x(i, len(places)), bottom + 18, place, "middle") for i, place in enumerate(places)]
    levels = [_text(left - 6, _y(top * n / 4, top) + 4, f"{top * n / 4:.3g}", "end") for n in range(5)]
    return [f'<path d="{frame}" fill="none" stroke="#444"/>', *labels, *levels]


def _line(values: Sequence[float], top: float, colour: str) -> str:
    points = " ".join(f"{_x(i, len(values)):.1f},{_y(v, top):.1f}" for i, v in enumerate(values))
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'


def _x(position: int, count: int) -> float:
    return MARGIN + (position + 0.5) * (WIDTH - 2 * MARGIN) / max(count, 1)


def _y(value: float, top: float) -> float:
    return HEIGHT - MARGIN - value / top * (HEIGHT - 2 * MARGIN)


def _text(x: float, y: float, text: str, anchor: str, colour: str = "#222") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'
