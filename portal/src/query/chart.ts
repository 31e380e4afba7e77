/** `render` as options of ECharts. */
import type { EChartsCoreOption } from "echarts/core";
import type { Value } from "../api/client";
import { numberText, whenText } from "../moments";
import { stackedUp } from "../overview/stacked";
import { visible } from "../text";
import type { Result } from "./ask";
import { cellText, isNumber } from "./cells";
import { type Drawn, drawn, type Series } from "./series";

interface Kind {
  type: "line" | "bar" | "scatter" | "pie";
  filled?: true;
  stacked?: true;
  /** Lying bars. */
  lying?: true;
}

const KINDS: Record<string, Kind> = {
  timechart: { type: "line" },
  anomalychart: { type: "line" },
  linechart: { type: "line" },
  areachart: { type: "line", filled: true },
  stackedareachart: { type: "line", filled: true, stacked: true },
  columnchart: { type: "bar" },
  barchart: { type: "bar", lying: true },
  scatterchart: { type: "scatter" },
  piechart: { type: "pie" },
};

export const isDrawn = (chart: string) => chart in KINDS;

export interface Picture {
  option: EChartsCoreOption;
  /** What it shows, in words. */
  label: string;
  note: string;
}

/** Return the picture that `render` asks for; a text: why there is none. */
export function picture(result: Result): Picture | string {
  const kind = KINDS[result.chart];
  if (!kind) return `A ${result.chart} is not drawn here.`;
  if (!result.rows.length) return "There are no rows to draw.";
  const found = drawn(result);
  if (typeof found === "string") return found;
  const { axis, series, note } = found;
  const names = series.map((one) => visible(one.name));
  const points = series.reduce((sum, one) => sum + one.points.length, 0);
  const title = result.properties["title"];
  const label =
    `${title ? `${visible(title)}: ` : ""}${result.chart} of ${names.slice(0, 5).join("; ")}` +
    `${names.length > 5 ? "; …" : ""} by ${visible(axis.name)}, ${numberText(points)} points`;
  const option = kind.type === "pie" ? pie(series) : cartesian(result, kind, found);
  return {
    option: {
      tooltip: {
        trigger: kind.type === "line" || kind.type === "bar" ? "axis" : "item",
        renderMode: "richText",
        confine: true,
      },
      ...(title ? { title: { text: visible(title), left: "center", textStyle: { fontSize: 14 } } } : {}),
      legend: {
        show: result.properties["legend"] !== "hidden" && (series.length > 1 || kind.type === "pie"),
        type: "scroll",
        bottom: 0,
      },
      ...option,
    },
    label,
    note,
  };
}

const numbered = (value: number) => (Number.isFinite(value) ? value : null);

function pie([first]: Series[]): EChartsCoreOption {
  const slices = (first?.points ?? []).map(([name, value]) => ({
    name: visible(cellText(name)) || "(nothing)",
    value: numbered(value),
  }));
  return { series: [{ type: "pie", radius: ["35%", "70%"], data: slices, label: { formatter: "{b}: {c} ({d}%)" } }] };
}

/** How the axis is divided: time, numbers, or one place for each value. */
function division(kind: Kind, type: string): "time" | "value" | "category" {
  if (kind.type === "bar") return "category";
  if (type === "datetime") return "time";
  return isNumber(type) ? "value" : "category";
}

function cartesian(result: Result, kind: Kind, { axis, series }: Drawn): EChartsCoreOption {
  const { properties } = result;
  const divided = division(kind, axis.type);
  const shown = (value: Value) =>
    axis.type === "datetime" ? whenText(value) : visible(cellText(value)) || "(nothing)";
  const place = (value: Value) =>
    divided === "time" ? Date.parse(String(value)) : divided === "value" ? Number(value) : shown(value);
  const categories = [...new Set(series.flatMap((one) => one.points.map(([value]) => shown(value))))];
  const stacked = kind.stacked || /^stacked/.test(properties["kind"] ?? "");
  const share = properties["kind"] === "stacked100" ? shares(series, shown) : null;
  const points = new Map(series.map((one) => [one.name, sorted(one.points, place)]));
  const filled = stacked && divided !== "category" ? stackedUp(points) : points;
  const pointsOf = (one: Series) => (divided === "category" ? one.points : (filled.get(one.name) ?? []));
  const across = {
    type: divided,
    name: visible(properties["xtitle"] ?? ""),
    nameLocation: "middle",
    nameGap: 28,
    ...(divided === "category" ? { data: categories, inverse: kind.lying ?? false } : {}),
    ...(properties["xaxis"] === "log" && divided === "value" ? { type: "log" } : {}),
  };
  const upwards = {
    type: properties["yaxis"] === "log" ? "log" : "value",
    name: visible(properties["ytitle"] ?? ""),
    ...bound("min", properties["ymin"]),
    ...bound("max", share ? "100" : properties["ymax"]),
  };
  return {
    grid: {
      left: 8,
      right: 24,
      top: properties["title"] ? 44 : 24,
      bottom: series.length > 1 ? 36 : 12,
      containLabel: true,
    },
    xAxis: kind.lying ? upwards : across,
    yAxis: kind.lying ? across : upwards,
    series: series.map((one) => ({
      name: visible(one.name),
      type: kind.type,
      ...(kind.type === "line" ? { showSymbol: one.points.length < 60, sampling: "lttb" } : {}),
      ...(kind.filled ? { areaStyle: { opacity: 0.3 } } : {}),
      ...(stacked ? { stack: "all" } : {}),
      data: pointsOf(one).map(([value, number]) => {
        const height = share ? share(value, number) : numbered(number);
        return kind.lying ? [height, place(value)] : [place(value), height];
      }),
    })),
  };
}

/** A line goes from left to right, in whatever order the rows came. */
const sorted = (points: [Value, number][], place: (value: Value) => number | string) =>
  [...points].sort(([one], [other]) => Number(place(one)) - Number(place(other)));

function shares(series: Series[], shown: (value: Value) => string) {
  const sums = new Map<string, number>();
  for (const one of series) {
    for (const [value, number] of one.points) sums.set(shown(value), (sums.get(shown(value)) ?? 0) + (number || 0));
  }
  return (value: Value, number: number) => numbered((100 * number) / (sums.get(shown(value)) || 1));
}

function bound(name: "min" | "max", text: string | undefined): Record<string, number> {
  const value = Number(text);
  return text && Number.isFinite(value) ? { [name]: value } : {};
}
