/** Changes by hour and weekday, by the clock of a time zone. */
import { useMemo } from "react";
import type { Row } from "../api/client";
import { type Filter, narrowed, write, zoneOf } from "../filter/filter";
import { go } from "../location";
import { numberText } from "../moments";
import { To } from "../states/To";
import { Chart } from "./Chart";
import { byHour } from "./questions";
import { State, Tile, useAsked, useTileStyles } from "./Tile";

const DAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const HOURS = Array.from({ length: 24 }, (_, hour) => String(hour));
const HEIGHT = 200;

const at = (filter: Filter, day: number, hour: number): Filter => {
  const hours = narrowed(filter, "hour", String(hour), false);
  return narrowed({ ...hours, zone: zoneOf(filter) }, "weekday", String(day), false);
};

export function Hours({ filter, dark }: { filter: Filter; dark: boolean }) {
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
  const some = rows && rows.length > 0;
  return (
    <Tile title={`By hour and weekday (${zoneOf(filter)})`} table={some && <Cells rows={rows} filter={filter} />}>
      <State asked={asked} none={rows?.length === 0 ? "None in this time." : ""} />
      {some && (
        <Chart
          label="Changes by hour and weekday"
          height={HEIGHT}
          dark={dark}
          option={option}
          chosen={([hour = 0, day = 0]) =>
            go("/changes", write(at(filter, Number(day), Number(hour)), new URLSearchParams()))
          }
        />
      )}
    </Tile>
  );
}

function Cells({ rows, filter }: { rows: Row[]; filter: Filter }) {
  const styles = useTileStyles();
  const found = new Map(rows.map((row) => [`${row["Day"]} ${row["Hour"]}`, Number(row["Changes"])]));
  return (
    <table className={styles.cells}>
      <thead>
        <tr>
          <th scope="col">Hour</th>
          {DAYS.map((day) => (
            <th key={day} scope="col">
              {day}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {HOURS.map((name, hour) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            {DAYS.map((day, number) => {
              const count = found.get(`${number} ${hour}`);
              return (
                <td key={day}>
                  {count ? (
                    <To path="/changes" filter={at(filter, number, hour)}>
                      {numberText(count)}
                    </To>
                  ) : (
                    ""
                  )}
                </td>
              );
            })}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
