/** One tab: commands on top, a list, and beside it what was chosen. */
import { makeStyles, Text, tokens } from "@fluentui/react-components";
import type { ReactNode } from "react";
import { Card } from "../grid/Card";
import { type Column, Grid } from "../grid/Grid";
import { List } from "../grid/List";

const useStyles = makeStyles({
  bar: {
    display: "flex",
    flexWrap: "wrap",
    alignItems: "center",
    gap: tokens.spacingHorizontalS,
    padding: `${tokens.spacingVerticalS} ${tokens.spacingHorizontalM}`,
    backgroundColor: tokens.colorNeutralBackground1,
    borderBottom: `1px solid ${tokens.colorNeutralStroke2}`,
  },
  empty: { padding: tokens.spacingHorizontalXXL, flexGrow: 1 },
});

interface Listed<T> {
  data: T[] | undefined;
  error: Error | null;
  isPending: boolean;
  refetch: () => unknown;
}

interface SectionProps<T> {
  label: string;
  commands?: ReactNode;
  found: Listed<T>;
  columns: Column<T>[];
  keyOf: (row: T) => string;
  selected: string | null;
  select: (key: string | null) => void;
  /** Said where the list is empty. */
  empty: string;
  status: string;
  more?: (() => void) | undefined;
  /** What stands beside the list of the row that was chosen. */
  details?: (row: T) => ReactNode;
  children?: ReactNode;
}

/** No cell here narrows the filter of the other pages. */
const narrowsNothing = () => undefined;

export function Section<T>(given: SectionProps<T>) {
  const { label, commands, found, columns, keyOf, selected, select, empty, status, more, details, children } = given;
  const styles = useStyles();
  const rows = found.data ?? [];
  const chosen = rows.find((row) => keyOf(row) === selected);
  return (
    <>
      {commands && (
        <div className={styles.bar} role="toolbar" aria-label={`Commands: ${label}`}>
          {commands}
        </div>
      )}
      <List asked={found} looking="Loading" status={status} beside={chosen !== undefined && details?.(chosen)}>
        {found.data?.length === 0 && <Text className={styles.empty}>{empty}</Text>}
        {rows.length > 0 && (
          <Grid
            label={label}
            columns={columns}
            lines={rows.map((row) => ({ key: keyOf(row), row }))}
            narrow={narrowsNothing}
            selected={selected ?? undefined}
            open={(row) => select(keyOf(row))}
            {...(more ? { more } : {})}
            card={(row) => (
              <Card name={columns[0]?.text(row) ?? ""} facts={columns.slice(1, 4).map((column) => column.text(row))} />
            )}
          />
        )}
      </List>
      {children}
    </>
  );
}
