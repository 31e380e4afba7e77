import { Badge, Card, CardHeader, makeStyles, Spinner, Subtitle2, Text, tokens } from "@fluentui/react-components";
import { keepPreviousData, type QueryKey, useQuery, useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useCallback, useMemo } from "react";
import { useArrivals } from "../api/arrivals";
import type { Row } from "../api/client";
import { kindText } from "../changes/rows";
import { FilterBar } from "../filter/FilterBar";
import { type Filter, narrowed, span, write } from "../filter/filter";
import { useFilter } from "../filter/useFilter";
import { go } from "../location";
import { fleet, stateOf } from "../machines/state";
import { numberText } from "../moments";
import { Heading } from "../shell/Heading";
import type { PageProps } from "../shell/page";
import { Problem } from "../states/Problem";
import { To } from "../states/To";
import { WhyEmpty } from "../states/WhyEmpty";
import { visible } from "../text";
import Chart from "./Chart";
import { byHour, newSoftware, overTime, TOPS, type Top, top } from "./questions";

const useStyles = makeStyles({
  scroll: { overflowY: "auto", flexGrow: 1, minHeight: 0 },
  grid: {
    display: "grid",
    gridTemplateColumns: "repeat(auto-fill, minmax(min(22rem, 100%), 1fr))",
    gap: tokens.spacingHorizontalM,
    padding: tokens.spacingHorizontalM,
  },
  wide: { gridColumn: "1 / -1" },
  list: {
    listStyle: "none",
    margin: 0,
    padding: 0,
    display: "flex",
    flexDirection: "column",
    rowGap: tokens.spacingVerticalXS,
  },
  entry: { display: "flex", columnGap: tokens.spacingHorizontalM, justifyContent: "space-between", minWidth: 0 },
  words: { overflow: "hidden", textOverflow: "ellipsis", whiteSpace: "nowrap", minWidth: 0 },
  totals: { display: "flex", flexWrap: "wrap", gap: tokens.spacingHorizontalM },
});

const KINDS = ["Files", "Software", "Daemons", "WindowsServices", "Registry"];
/** Told apart also by those who see few colours (Okabe and Ito). */
const COLORS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9"];
const DAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const HOURS = Array.from({ length: 24 }, (_, hour) => String(hour));

function Tile({ title, wide, children }: { title: string; wide?: boolean; children: ReactNode }) {
  const styles = useStyles();
  return (
    <Card className={wide ? styles.wide : ""} role="group" aria-label={title}>
      <CardHeader header={<Subtitle2 as="h2">{title}</Subtitle2>} />
      {children}
    </Card>
  );
}

function useAsked<T>(key: QueryKey, work: (signal: AbortSignal) => Promise<T>) {
  return useQuery({
    queryKey: ["overview", ...key],
    queryFn: ({ signal }) => work(signal),
    placeholderData: keepPreviousData,
  });
}

function State({
  asked,
  none,
}: {
  asked: { isPending: boolean; error: Error | null; refetch: () => unknown };
  none: string;
}) {
  if (asked.isPending) return <Spinner size="small" label="Counting" />;
  if (asked.error) return <Problem error={asked.error} again={() => void asked.refetch()} />;
  return none ? <Text>{none}</Text> : null;
}

export default function Overview({ dark }: PageProps) {
  const styles = useStyles();
  const client = useQueryClient();
  const { filter, set } = useFilter();
  const time = useAsked(["time", filter], (signal) => overTime(filter, signal));
  useArrivals(
    useCallback(() => client.invalidateQueries({ queryKey: ["overview"] }), [client]),
    { topic: "overview", ready: time.isSuccess, first: false },
  );
  const total = (time.data?.rows ?? []).reduce((sum, row) => sum + Number(row["Changes"]), 0);
  const empty = time.isSuccess && !time.isPlaceholderData && total === 0;

  return (
    <>
      <Heading>Overview</Heading>
      <FilterBar table="ConfigurationChange" />
      <div className={styles.scroll}>
        <div className={styles.grid}>
          <Tile title="Changes over time" wide>
            <State asked={time} none="" />
            {empty && <WhyEmpty filter={filter} table="ConfigurationChange" of="changes" />}
            {total > 0 && time.data && (
              <OverTime
                rows={time.data.rows}
                dark={dark}
                filter={filter}
                zoom={(from, to) =>
                  set({ ...filter, from: new Date(from).toISOString(), to: new Date(to).toISOString() })
                }
              />
            )}
          </Tile>
          <Health filter={filter} />
          <Hours filter={filter} dark={dark} />
          {(Object.keys(TOPS) as Top[]).map((of) => (
            <TopList key={of} of={of} filter={filter} />
          ))}
          <NewSoftware filter={filter} />
        </div>
      </div>
    </>
  );
}

interface OverTimeProps {
  rows: Row[];
  dark: boolean;
  filter: Filter;
  zoom: (from: number, to: number) => void;
}

function OverTime({ rows, dark, filter, zoom }: OverTimeProps) {
  const styles = useStyles();
  const sums = KINDS.map((kind) =>
    rows.filter((row) => row["Kind"] === kind).reduce((sum, row) => sum + Number(row["Changes"]), 0),
  );
  // biome-ignore lint/correctness/useExhaustiveDependencies: what was counted anew has another now
  const [begin, end] = useMemo(() => span(filter, Date.now()) ?? [], [filter, rows]);
  const option = useMemo(
    () => ({
      color: COLORS,
      grid: { left: 8, right: 16, top: 8, bottom: 8, containLabel: true },
      tooltip: { trigger: "axis", renderMode: "richText" },
      toolbox: { show: false },
      brush: { xAxisIndex: 0, toolbox: [] },
      xAxis: { type: "time", min: begin, max: end, axisLabel: { hideOverlap: true } },
      yAxis: { type: "value", minInterval: 1 },
      series: KINDS.map((kind) => ({
        name: kindText(kind),
        type: "bar",
        stack: "changes",
        barMaxWidth: 24,
        data: rows
          .filter((row) => row["Kind"] === kind)
          .map((row) => [Date.parse(String(row["Time"])), Number(row["Changes"])]),
      })),
    }),
    [rows, begin, end],
  );
  return (
    <>
      <Chart
        label="Changes over time by kind; a stretch that is drawn with the pointer is looked at more closely"
        height={240}
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
  );
}

function Hours({ filter, dark }: { filter: Filter; dark: boolean }) {
  const asked = useAsked(["hours", filter], (signal) => byHour(filter, signal));
  const rows = asked.data;
  const option = useMemo(() => {
    const data = (rows ?? []).map((row) => [Number(row["Hour"]), Number(row["Day"]), Number(row["Changes"])]);
    return {
      grid: { left: 8, right: 8, top: 8, bottom: 8, containLabel: true },
      tooltip: { renderMode: "richText" },
      xAxis: { type: "category", data: HOURS },
      yAxis: { type: "category", data: DAYS, inverse: true },
      visualMap: {
        show: false,
        min: 0,
        max: Math.max(1, ...data.map((cell) => cell[2] ?? 0)),
        inRange: { color: dark ? ["#1b3a57", "#62abf5"] : ["#cfe4fa", "#0f548c"] },
      },
      series: [{ type: "heatmap", name: "Changes", data }],
    };
  }, [rows, dark]);
  return (
    <Tile title="By hour and weekday (UTC)">
      <State asked={asked} none={rows?.length === 0 ? "None in this time." : ""} />
      {rows && rows.length > 0 && (
        <Chart
          label="Changes by hour and weekday"
          height={200}
          dark={dark}
          option={option}
          chosen={([hour = 0, day = 0]) => {
            const atHour = narrowed(filter, "hour", String(hour), false);
            go("/changes", write(narrowed(atHour, "weekday", String(day), false), new URLSearchParams()));
          }}
        />
      )}
    </Tile>
  );
}

function TopList({ of, filter }: { of: Top; filter: Filter }) {
  const styles = useStyles();
  const asked = useAsked(["top", of, filter], (signal) => top(of, filter, signal));
  return (
    <Tile title={TOPS[of].title}>
      <State asked={asked} none={asked.data?.length === 0 ? "None in this time." : ""} />
      <ul className={styles.list}>
        {asked.data?.map((row) => (
          <li key={String(row["Value"])} className={styles.entry}>
            <To path="/changes" filter={narrowed(filter, of, String(row["Value"]), false)}>
              {visible(String(row["Value"]))}
            </To>
            <Text>{numberText(Number(row["Changes"]))}</Text>
          </li>
        ))}
      </ul>
    </Tile>
  );
}

function NewSoftware({ filter }: { filter: Filter }) {
  const styles = useStyles();
  const asked = useAsked(["software", filter.text, filter.conditions], (signal) => newSoftware(filter, signal));
  const week: Filter = narrowed(
    narrowed({ ...filter, window: "7d", from: "", to: "" }, "kind", "Software", false),
    "category",
    "Added",
    false,
  );
  return (
    <Tile title="New software this week">
      <State asked={asked} none={asked.data?.length === 0 ? "None." : ""} />
      <ul className={styles.list}>
        {asked.data?.map((row) => (
          <li key={String(row["SoftwareName"])} className={styles.entry}>
            <To path="/changes" filter={narrowed(week, "item", String(row["SoftwareName"]), false)}>
              {visible(`${row["SoftwareName"]} ${row["Version"]}`)}
            </To>
            <Text>{numberText(Number(row["Machines"]))} machines</Text>
          </li>
        ))}
      </ul>
    </Tile>
  );
}

function Health({ filter }: { filter: Filter }) {
  const styles = useStyles();
  const asked = useAsked(["fleet"], fleet);
  const known = asked.data;
  const none: Filter = { ...filter, text: "", conditions: [] };
  const count = (state: string) => known?.machines.filter((machine) => stateOf(machine) === state).length ?? 0;
  const troubles = [...(known?.troubles.values() ?? [])].flat();
  const errors = troubles.filter((row) => row["Status"] === "Error");
  return (
    <Tile title="Health">
      <State asked={asked} none={known?.machines.length === 0 ? "No machine is enrolled." : ""} />
      {known && known.machines.length > 0 && (
        <ul className={styles.list}>
          <li className={styles.entry}>
            <To path="/machines" filter={{ ...none, text: "Active" }}>
              Active machines
            </To>
            <Badge color="success">{count("Active")}</Badge>
          </li>
          <li className={styles.entry}>
            <To path="/machines" filter={{ ...none, text: "Silent" }}>
              Silent machines
            </To>
            <Badge color={count("Silent") ? "danger" : "informative"}>{count("Silent")}</Badge>
          </li>
          {errors.slice(0, 5).map((row, at) => (
            <li key={at} className={styles.entry}>
              <To path="/machines" filter={narrowed(none, "machine", String(row["Computer"]), false)}>
                {String(row["Computer"])}: {String(row["Reason"])} {String(row["Detail"])}
              </To>
              <Badge color="danger">Error</Badge>
            </li>
          ))}
          <li className={styles.entry}>
            <To path="/machines" filter={none}>
              Warnings of the last week
            </To>
            <Badge color={troubles.length > errors.length ? "warning" : "informative"}>
              {troubles.length - errors.length}
            </Badge>
          </li>
        </ul>
      )}
    </Tile>
  );
}
