"""A board as Grafana's JSON, through Grafana's own builders: they know the types, we know what to show."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as model
from grafana_foundation_sdk.models import dashboard as grafana

from boards.spec import PREFIX, Board, Kind, Panel, Query, Row

RUNBOOKS = "runbooks.md"
TAG = "tiered-memory"
COLUMNS = 24
ROW_HEIGHT = 1
SOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
NOTHING = "none in this range"


def as_json(board: Board) -> str:
    """Return the text of a board's file; the same board always gives the same bytes."""
    return json.dumps(built(board), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def built(board: Board) -> grafana.Dashboard:
    """Return a board as Grafana's model."""
    made = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.about)
        .tags([TAG])
        .readonly()
        .tooltip(grafana.DashboardCursorSync.CROSSHAIR)
        .time("now-6h", "now")
        .timezone("browser")
        .refresh("30s")
        .link(_to_the_others())
        .with_variable(_datasource())
        .with_variable(_label("job", f"{PREFIX}build_info"))
        .with_variable(_label("instance", f'{PREFIX}build_info{{job=~"$job"}}'))
    )
    _fill(made, board.rows)
    return made.build()


def _fill(made: dashboard.Dashboard, rows: tuple[Row, ...]) -> None:
    number, top = 0, 0
    for row in rows:
        number += 1
        made.with_row(dashboard.Row(row.title).id(number).grid_pos(_at(0, top, COLUMNS, ROW_HEIGHT)))
        top += ROW_HEIGHT
        for panel, left, line in _laid_out(row.panels):
            number += 1
            made.with_panel(
                _panel(panel).id(number).grid_pos(_at(left, top + line, panel.width, panel.height))
            )
        top += max(line + panel.height for panel, _, line in _laid_out(row.panels))


def _laid_out(panels: tuple[Panel, ...]) -> Iterator[tuple[Panel, int, int]]:
    left = line = tallest = 0
    for panel in panels:
        if left + panel.width > COLUMNS:
            left, line, tallest = 0, line + tallest, 0
        yield panel, left, line
        left, tallest = left + panel.width, max(tallest, panel.height)


def _at(left: int, top: int, width: int, height: int) -> grafana.GridPos:
    return grafana.GridPos(x=left, y=top, w=width, h=height)


# --- panels --------------------------------------------------------------------------------------------------


def _panel(panel: Panel) -> Any:
    made = _DRAWN[panel.kind](panel)
    made.title(panel.title).description(_described(panel)).datasource(SOURCE).unit(panel.unit)
    made.no_value(NOTHING)
    if panel.steps:
        made.thresholds(_thresholds(panel))
    if panel.least is not None:
        made.min(panel.least)
    if panel.most is not None:
        made.max(panel.most)
    for letter, query in zip("ABCDEF", panel.queries, strict=False):
        made.with_target(_target(letter, query, at_once=panel.kind in {Kind.NUMBER, Kind.BARS}))
    return made


def _described(panel: Panel) -> str:
    return f"{panel.good}\n\n[Runbook]({RUNBOOKS}#{panel.runbook})"


def _target(letter: str, query: Query, *, at_once: bool) -> prometheus.Dataquery:
    made = prometheus.Dataquery().ref_id(letter).expr(query.expr).legend_format(query.legend)
    made.datasource(SOURCE)
    return made.instant() if at_once else made.range()


def _thresholds(panel: Panel) -> dashboard.ThresholdsConfig:
    steps = [grafana.Threshold(value=step.value, color=step.color) for step in panel.steps]
    return dashboard.ThresholdsConfig().mode(grafana.ThresholdsMode.ABSOLUTE).steps(steps)


def _lines(panel: Panel) -> timeseries.Panel:
    made = timeseries.Panel().line_width(1).fill_opacity(8).show_points(model.VisibilityMode.NEVER)
    made.legend(_legend()).tooltip(_tooltip())
    if panel.steps:
        made.thresholds_style(common.GraphThresholdsStyleConfig().mode(model.GraphThresholdsStyleMode.DASHED))
    return made


def _stack(panel: Panel) -> timeseries.Panel:
    stacking = common.StackingConfig().mode(model.StackingMode.NORMAL).group("A")
    return _lines(panel).fill_opacity(30).stacking(stacking)


def _number(panel: Panel) -> stat.Panel:
    made = stat.Panel().graph_mode(model.BigValueGraphMode.NONE).reduce_options(_last())
    text = model.BigValueTextMode.AUTO if len(panel.queries) == 1 else model.BigValueTextMode.VALUE_AND_NAME
    return made.color_mode(model.BigValueColorMode.VALUE).text_mode(text)


def _bars(panel: Panel) -> bargauge.Panel:
    del panel
    made = bargauge.Panel().reduce_options(_last()).display_mode(model.BarGaugeDisplayMode.BASIC)
    return made.orientation(model.VizOrientation.HORIZONTAL)


def _last() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"]).values(values=False)


def _legend() -> common.VizLegendOptions:
    made = common.VizLegendOptions().display_mode(model.LegendDisplayMode.TABLE).show_legend(show_legend=True)
    return made.placement(model.LegendPlacement.BOTTOM).calcs(["lastNotNull", "max"])


def _tooltip() -> common.VizTooltipOptions:
    return common.VizTooltipOptions().mode(model.TooltipDisplayMode.MULTI).sort(model.SortOrder.DESCENDING)


_DRAWN: dict[Kind, Callable[[Panel], Any]] = {
    Kind.LINES: _lines,
    Kind.STACK: _stack,
    Kind.NUMBER: _number,
    Kind.BARS: _bars,
}


# --- variables and links -------------------------------------------------------------------------------------


def _datasource() -> dashboard.DatasourceVariable:
    return dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")


def _label(name: str, of: str) -> dashboard.QueryVariable:
    query = f"label_values({of}, {name})"
    return (
        dashboard.QueryVariable(name)
        .label(name.title())
        .datasource(SOURCE)
        .query(query)
        .definition(query)
        .refresh(grafana.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(grafana.VariableSort.ALPHABETICAL_ASC)
        .multi(multi=True)
        .include_all(include_all=True)
        .all_value(".+")
        .current(grafana.VariableOption(selected=True, text=["All"], value=["$__all"]))
    )


def _to_the_others() -> dashboard.DashboardLink:
    made = dashboard.DashboardLink("Tiered memory").type(grafana.DashboardLinkType.DASHBOARDS).tags([TAG])
    return made.as_dropdown(as_dropdown=True).include_vars(include_vars=True).keep_time(keep_time=True)
