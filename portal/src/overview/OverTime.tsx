/** Changes over time by kind; where something is not known, the time is hatched. */
import { Text } from "@fluentui/react-components";
import { useQuery } from "@tanstack/react-query";
import { type ReactNode, useMemo } from "react";
import type { Row } from "../api/client";
import { type Gap, gapText, useGaps } from "../changes/gaps";
import { kindText } from "../changes/rows";
import { type Filter, narrowed, span } from "../filter/filter";
import { machinePage } from "../machines/list";
import { numberText, whenText } from "../moments";
import { To } from "../states/To";
import { WhyEmpty } from "../states/WhyEmpty";
import { Chart } from "./Chart";
import { hatch } from "./hatch";
import type { overTime } from "./questions";
import { stackedUp } from "./stacked";
import { State, Tile, type useAsked, useTileStyles } from "./Tile";

const KINDS = ["Files", "Software", "Daemons", "WindowsServices", "Registry"];
/** Told apart also by those who see few colours (Okabe and Ito). */
const COLORS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9"];
const HEIGHT = 240;
const MOST_GAPS_IN_WORDS = 3;

const iso = (time: number) => new Date(time).toISOString();

export type TimeAsked = ReturnType<typeof useAsked<Awaited<ReturnType<typeof overTime>>>>;

/** What is not known yet: machines that are silent, and since when. */
function useSilent(filter: Filter, ready: boolean) {
  const machines = filter.conditions.filter((one) => one.field === "machine");
  return useQuery({
    queryKey: ["overview", "silent", machines],
    queryFn: ({ signal }) =>
      machinePage(
        { filter: { ...filter, text: "", conditions: machines }, state: "Silent", trouble: null },
        { column: "lastContact", descending: false },
        "",
        signal,
      ),
    enabled: ready,
  });
}

interface OverTimeProps {
  asked: TimeAsked;
  dark: boolean;
  filter: Filter;
  zoom: (from: number, to: number) => void;
}

export function OverTime({ asked, dark, filter, zoom }: OverTimeProps) {
  const styles = useTileStyles();
  const rows = asked.data?.rows ?? NO_ROWS;
  const gaps = useGaps(filter, asked.isSuccess).data ?? NO_GAPS;
  const silent = useSilent(filter, asked.isSuccess).data;
  const sums = KINDS.map((kind) =>
    rows.filter((row) => row["Kind"] === kind).reduce((sum, row) => sum + Number(row["Changes"]), 0),
  );
  const total = sums.reduce((sum, one) => sum + one, 0);
  // biome-ignore lint/correctness/useExhaustiveDependencies: what was counted anew has another now
  const [begin, end] = useMemo(() => span(filter, Date.now()) ?? [], [filter, rows]);
  const oldest = silent?.machines[0];
  // Of a fleet a few are always silent; of machines that were asked for by name it is what one looks for.
  const ofSome = filter.conditions.some((one) => one.field === "machine" && !one.not);
  const unheard = ofSome && oldest ? Date.parse(oldest.lastContact) : null;
  const option = useMemo(() => {
    const areas = gaps.map((gap) => [{ xAxis: gap.from }, { xAxis: Math.max(gap.to, gap.from + 1) }]);
    if (unheard !== null) areas.push([{ xAxis: unheard }, { xAxis: end ?? Date.now() }]);
    const of = (kind: string) =>
      rows
        .filter((row) => row["Kind"] === kind)
        .map((row): [number, number] => [Date.parse(String(row["Time"])), Number(row["Changes"])]);
    const bars = stackedUp(new Map(KINDS.map((kind) => [kind, of(kind)])));
    return {
      color: COLORS,
      grid: { left: 8, right: 16, top: 8, bottom: 8, containLabel: true },
      tooltip: { trigger: "axis", renderMode: "richText" },
      toolbox: { show: false },
      brush: { xAxisIndex: 0, toolbox: [] },
      // Not wider than the time that was asked for, however few bars there are.
      xAxis: { type: "time", min: begin, max: end, containShape: false, axisLabel: { hideOverlap: true } },
      yAxis: { type: "value", minInterval: 1 },
      series: KINDS.map((kind, at) => ({
        name: kindText(kind),
        type: "bar",
        stack: "changes",
        barMaxWidth: 24,
        data: bars.get(kind),
        ...(at === 0 && areas.length
          ? { markArea: { silent: true, itemStyle: { color: hatch(dark), borderWidth: 0 }, data: areas } }
          : {}),
      })),
    };
  }, [rows, begin, end, gaps, unheard, dark]);
  const empty = asked.isSuccess && !asked.isPlaceholderData && total === 0;

  return (
    <Tile
      title="Changes over time"
      wide
      table={total > 0 && <Bars rows={rows} minutes={asked.data?.minutes ?? 1} filter={filter} />}
    >
      <State asked={asked} none="" />
      {empty && <WhyEmpty filter={filter} table="ConfigurationChange" of="changes" />}
      {total > 0 && (
        <>
          <Chart
            label="Changes over time by kind; a stretch that is drawn with the pointer is looked at more closely"
            height={HEIGHT}
            dark={dark}
            option={option}
            brushed={zoom}
          />
          <div className={styles.totals}>
            {KINDS.map((kind, at) =>
              sums[at] ? (
                <span key={kind}>
                  <span style={{ color: COLORS[at] }} aria-hidden>
                    ■
                  </span>{" "}
                  <To path="/changes" filter={narrowed(filter, "kind", kind, false)}>
                    {kindText(kind)}: {numberText(sums[at] ?? 0)}
                  </To>
                </span>
              ) : null,
            )}
          </div>
        </>
      )}
      <Unknown gaps={gaps} filter={filter}>
        {silent && oldest && (
          <li>
            <Text size={200}>
              Complete until {whenText(oldest.lastContact)}:{" "}
              <To path="/machines" filter={filter} with={{ state: "Silent" }}>
                {silent.matching === 1 ? "1 machine is silent" : `${numberText(silent.matching)} machines are silent`}
              </To>
              , and may tell later what has changed since.
            </Text>
          </li>
        )}
      </Unknown>
    </Tile>
  );
}

const NO_ROWS: Row[] = [];
const NO_GAPS: Gap[] = [];

/** What the hatched times mean, in words. */
function Unknown({ gaps, filter, children }: { gaps: Gap[]; filter: Filter; children: ReactNode }) {
  const styles = useTileStyles();
  return (
    <ul className={styles.list} aria-label="What is not known">
      {children}
      {gaps.slice(0, MOST_GAPS_IN_WORDS).map((gap) => (
        <li key={`${gap.computer}-${gap.from}-${gap.reason}`}>
          <Text size={200}>{gapText(gap)} </Text>
          <To path="/changes" filter={around(filter, gap)}>
            Changes around it
          </To>
        </li>
      ))}
      {gaps.length > MOST_GAPS_IN_WORDS && (
        <li>
          <Text size={200}>
            {numberText(gaps.length)} such times are hatched.{" "}
            <To path="/machines" filter={filter} with={{ trouble: "Gap" }}>
              Machines whose records were lost
            </To>
          </Text>
        </li>
      )}
    </ul>
  );
}

const HOUR = 3_600_000;

const around = (filter: Filter, gap: Gap): Filter => {
  const time = { ...filter, from: iso(gap.from - HOUR), to: iso(gap.to + HOUR) };
  return gap.machines > 1 ? time : narrowed(time, "machine", gap.computer, false);
};

/** The bars as a table: every one leads to its changes. */
function Bars({ rows, minutes, filter }: { rows: Row[]; minutes: number; filter: Filter }) {
  const styles = useTileStyles();
  const kinds = KINDS.filter((kind) => rows.some((row) => row["Kind"] === kind));
  const bars = new Map<number, Map<string, number>>();
  for (const row of rows) {
    const time = Date.parse(String(row["Time"]));
    const bar = bars.get(time) ?? new Map<string, number>();
    bars.set(time, bar.set(String(row["Kind"]), Number(row["Changes"])));
  }
  const at = (time: number): Filter => ({ ...filter, from: iso(time), to: iso(time + minutes * 60_000) });
  return (
    <table className={styles.cells}>
      <thead>
        <tr>
          <th scope="col">From</th>
          {kinds.map((kind) => (
            <th key={kind} scope="col">
              {kindText(kind)}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {[...bars].map(([time, bar]) => (
          <tr key={time}>
            <th scope="row">
              <To path="/" filter={at(time)}>
                {whenText(iso(time))}
              </To>
            </th>
            {kinds.map((kind) => (
              <td key={kind}>
                {bar.has(kind) && (
                  <To path="/changes" filter={narrowed(at(time), "kind", kind, false)}>
                    {numberText(bar.get(kind) ?? 0)}
                  </To>
                )}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
