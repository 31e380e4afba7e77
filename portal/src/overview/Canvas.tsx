/** A chart of ECharts, drawn on a canvas: what it shows stands beside it in words, too. */
import { BarChart, HeatmapChart } from "echarts/charts";
import {
  BrushComponent,
  GridComponent,
  LegendComponent,
  MarkAreaComponent,
  ToolboxComponent,
  TooltipComponent,
  VisualMapComponent,
} from "echarts/components";
import { type EChartsCoreOption, type EChartsType, init, use } from "echarts/core";
import { CanvasRenderer } from "echarts/renderers";
import { useEffect, useRef } from "react";

use([
  BarChart,
  HeatmapChart,
  BrushComponent,
  GridComponent,
  LegendComponent,
  MarkAreaComponent,
  ToolboxComponent,
  TooltipComponent,
  VisualMapComponent,
  CanvasRenderer,
]);

export interface ChartProps {
  label: string;
  height: number;
  dark: boolean;
  option: EChartsCoreOption;
  /** A bar or cell was chosen: the values of its data. */
  chosen?: (value: (string | number)[], series: string) => void;
  /** A stretch of the first axis was chosen. */
  brushed?: (from: number, to: number) => void;
}

export default function Canvas({ label, height, dark, option, chosen, brushed }: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const chart = useRef<EChartsType | null>(null);
  const heard = useRef({ chosen, brushed });
  heard.current = { chosen, brushed };

  useEffect(() => {
    if (!place.current) return;
    const made = init(place.current, dark ? "dark" : undefined);
    chart.current = made;
    made.on("click", (event) => {
      if (Array.isArray(event.value))
        heard.current.chosen?.(event.value as (string | number)[], String(event.seriesName));
    });
    made.on("brushEnd", (event) => {
      const [area] = (event as { areas?: { coordRange?: [number, number] }[] }).areas ?? [];
      if (area?.coordRange) heard.current.brushed?.(Math.floor(area.coordRange[0]), Math.ceil(area.coordRange[1]));
    });
    const watch = new ResizeObserver(() => made.resize());
    watch.observe(place.current);
    return () => {
      watch.disconnect();
      made.dispose();
      chart.current = null;
    };
  }, [dark]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: another theme is another chart
  useEffect(() => {
    chart.current?.setOption({ backgroundColor: "transparent", animation: false, ...option }, { notMerge: true });
    if (heard.current.brushed) {
      chart.current?.dispatchAction({
        type: "takeGlobalCursor",
        key: "brush",
        brushOption: { brushType: "lineX", brushMode: "single" },
      });
    }
  }, [option, dark]);

  return <div ref={place} role="img" aria-label={label} style={{ height }} />;
}
