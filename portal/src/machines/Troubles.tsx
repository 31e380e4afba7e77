import { Badge, makeStyles, Text, tokens } from "@fluentui/react-components";
import type { Row } from "../api/client";
import { agoText, numberText } from "../moments";
import { visible } from "../text";
import { byReason, reasonText } from "./list";

const useStyles = makeStyles({
  list: { margin: 0, paddingLeft: tokens.spacingHorizontalL, overflowWrap: "anywhere" },
  summary: { cursor: "pointer" },
});

/** So many of one reason are shown one by one. */
const FEW = 3;

/** What is not well with a machine, reason by reason. */
export function Troubles({ rows }: { rows: Row[] }) {
  const styles = useStyles();
  if (!rows.length) return <Text>Every part that speaks is well.</Text>;
  return (
    <ul className={styles.list}>
      {byReason(rows).map(({ status, reason, rows: same }) =>
        same.length > FEW ? (
          <li key={`${status} ${reason}`}>
            <details>
              <summary className={styles.summary}>
                <Status status={status} /> {reasonText(reason)}: {numberText(same.length)} times
              </summary>
              <ul className={styles.list}>
                {same.map((row, at) => (
                  <li key={at}>{told(row)}</li>
                ))}
              </ul>
            </details>
          </li>
        ) : (
          same.map((row, at) => (
            <li key={`${status} ${reason} ${at}`}>
              <Status status={status} /> {told(row)}
            </li>
          ))
        ),
      )}
    </ul>
  );
}

function Status({ status }: { status: string }) {
  return (
    <Badge appearance="tint" color={status === "Error" ? "danger" : "warning"}>
      {status}
    </Badge>
  );
}

function told(row: Row): string {
  const about = [row["Component"], row["Kind"], row["Reason"], row["RuleName"]].filter(Boolean).join(" ");
  return `${visible(`${about}: ${row["Detail"]}`)} (${agoText(row["TimeGenerated"])})`;
}
