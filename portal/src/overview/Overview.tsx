import { makeStyles, Text, tokens } from "@fluentui/react-components";
import { usePrefetchQuery, useQueryClient } from "@tanstack/react-query";
import { useCallback } from "react";
import { useArrivals } from "../api/arrivals";
import { FilterBar } from "../filter/FilterBar";
import { type Filter, narrowed } from "../filter/filter";
import { useFilter } from "../filter/useFilter";
import { EVERYWHERE } from "../filter/values";
import { numberText } from "../moments";
import { Heading } from "../shell/Heading";
import type { PageProps } from "../shell/page";
import { Name } from "../states/Name";
import { To } from "../states/To";
import { CANVAS } from "./Chart";
import { Health } from "./Health";
import { Hours } from "./Hours";
import { OverTime } from "./OverTime";
import { newSoftware, overTime, TOPS, type Top, tops } from "./questions";
import { State, Tile, useAsked, useTileStyles } from "./Tile";

const useStyles = makeStyles({
  scroll: { overflowY: "auto", flexGrow: 1, minHeight: 0 },
  grid: {
    display: "grid",
    gridTemplateColumns: "repeat(auto-fill, minmax(min(22rem, 100%), 1fr))",
    gap: tokens.spacingHorizontalM,
    padding: tokens.spacingHorizontalM,
  },
});

export default function Overview({ dark }: PageProps) {
  const styles = useStyles();
  const client = useQueryClient();
  const { filter, set } = useFilter();
  usePrefetchQuery(CANVAS);
  const time = useAsked(["time", filter], (signal) => overTime(filter, signal));
  useArrivals(
    useCallback(() => client.invalidateQueries({ queryKey: ["overview"] }), [client]),
    { topic: "overview", ready: time.isSuccess, first: false },
  );
  const zoom = (from: number, to: number) =>
    set({ ...filter, from: new Date(from).toISOString(), to: new Date(to).toISOString() });

  return (
    <>
      <Heading>Overview</Heading>
      <FilterBar table="ConfigurationChange" scope={EVERYWHERE} />
      <div className={styles.scroll}>
        <div className={styles.grid}>
          <OverTime asked={time} dark={dark} filter={filter} zoom={zoom} />
          <Health />
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

function TopList({ of, filter }: { of: Top; filter: Filter }) {
  const styles = useTileStyles();
  const asked = useAsked(["tops", filter], (signal) => tops(filter, signal));
  const rows = asked.data?.[of] ?? [];
  return (
    <Tile title={TOPS[of].title}>
      <State asked={asked} none={asked.data && !rows.length ? "None in this time." : ""} />
      <ul className={styles.list}>
        {rows.map((row) => (
          <li key={String(row["Value"])} className={styles.entry}>
            <To path="/changes" filter={narrowed(filter, of, String(row["Value"]), false)}>
              <Name text={String(row["Value"])} />
            </To>
            <Text>{numberText(Number(row["Changes"]))}</Text>
          </li>
        ))}
      </ul>
    </Tile>
  );
}

function NewSoftware({ filter }: { filter: Filter }) {
  const styles = useTileStyles();
  const asked = useAsked(["software", filter.text, filter.conditions], (signal) => newSoftware(filter, signal));
  const everywhere: Filter = { ...filter, text: "", conditions: [] };
  return (
    <Tile title="New software this week">
      <State asked={asked} none={asked.data?.length === 0 ? "None." : ""} />
      <ul className={styles.list}>
        {asked.data?.map((row) => (
          <li key={String(row["SoftwareName"])} className={styles.entry}>
            <To
              path="/inventory"
              filter={narrowed(everywhere, "item", String(row["SoftwareName"]), false)}
              with={{ kind: "Software" }}
            >
              <Name text={`${row["SoftwareName"]} ${row["Version"]}`} />
            </To>
            <Text>
              {Number(row["Machines"]) === 1 ? "1 machine" : `${numberText(Number(row["Machines"]))} machines`}
            </Text>
          </li>
        ))}
      </ul>
    </Tile>
  );
}
