/** How the tracking itself fares: everything leads to the machines that it is about. */
import { Badge, Text } from "@fluentui/react-components";
import type { Filter } from "../filter/filter";
import { health, reasonText } from "../machines/list";
import type { State as MachineState } from "../machines/state";
import { numberText } from "../moments";
import { To } from "../states/To";
import { State, Tile, useAsked, useTileStyles } from "./Tile";

const NO_FILTER: Filter = { window: "24h", from: "", to: "", text: "", conditions: [] };
/** Always shown, also where there are none: that there are none is what one wants to know. */
const ALWAYS = ["Gap", "RuleMatchesNothing", "Limit"];
const STATES: [MachineState, "success" | "danger" | "warning"][] = [
  ["Active", "success"],
  ["Silent", "danger"],
  ["Revoked", "warning"],
];

export function Health() {
  const styles = useTileStyles();
  const asked = useAsked(["health"], health);
  const known = asked.data;
  const machines = Object.values(known?.states ?? {}).reduce((sum, one) => sum + one, 0);
  const reasons = [
    ...(known?.reasons ?? []).map((row) => ({
      reason: String(row["Reason"]),
      error: row["Status"] === "Error",
      machines: Number(row["Machines"]),
    })),
  ];
  for (const reason of ALWAYS) {
    if (!reasons.some((one) => one.reason === reason)) reasons.push({ reason, error: false, machines: 0 });
  }
  return (
    <Tile title="Health">
      <State asked={asked} none={known && !machines ? "No machine is enrolled." : ""} />
      {known && machines > 0 && (
        <ul className={styles.list}>
          {STATES.filter(([state]) => state !== "Revoked" || known.states[state]).map(([state, color]) => (
            <li key={state} className={styles.entry}>
              <To path="/machines" filter={NO_FILTER} with={{ state }}>
                {state} machines
              </To>
              <Badge color={known.states[state] ? color : "informative"}>{numberText(known.states[state])}</Badge>
            </li>
          ))}
          {reasons.map(({ reason, error, machines: count }) => (
            <li key={`${reason} ${error}`} className={styles.entry}>
              <To path="/machines" filter={NO_FILTER} with={{ trouble: reason }}>
                {reasonText(reason)}
              </To>
              <Badge color={count ? (error ? "danger" : "warning") : "informative"}>{numberText(count)}</Badge>
            </li>
          ))}
        </ul>
      )}
      {known && machines > 0 && <Text size={200}>Machines of which it was the last word this week.</Text>}
    </Tile>
  );
}
