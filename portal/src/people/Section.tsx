/** One tab: commands on top, a list, and beside it what was chosen. */
import { makeStyles, Spinner, Text, tokens } from "@fluentui/react-components";
import type { ReactNode } from "react";
import { type Column, Grid } from "../grid/Grid";
import { Problem } from "../states/Problem";
import { visible } from "../text";

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
  place: { display: "flex", flexGrow: 1, minHeight: 0 },
  list: { display: "flex", flexDirection: "column", flexGrow: 1, minWidth: 0, minHeight: 0 },
  empty: { padding: tokens.spacingHorizontalXXL, flexGrow: 1 },
  foot: {
    padding: `${tokens.spacingVerticalXS} ${tokens.spacingHorizontalM}`,
    backgroundColor: tokens.colorNeutralBackground1,
    borderTop: `1px solid ${tokens.colorNeutralStroke2}`,
  },
  card: { display: "flex", flexDirection: "column", minWidth: 0, overflow: "hidden" },
  clip: { overflow: "hidden", textOverflow: "ellipsis", whiteSpace: "nowrap", display: "block" },
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
      <div className={styles.place}>
        <div className={styles.list}>
          {found.error && <Problem error={found.error} again={() => void found.refetch()} />}
          {found.isPending && <Spinner label="Loading" />}
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
                <div className={styles.card}>
                  <Text weight="semibold" className={styles.clip}>
                    {visible(columns[0]?.text(row) ?? "")}
                  </Text>
                  <Text size={200} className={styles.clip}>
                    {columns
                      .slice(1, 4)
                      .map((column) => visible(column.text(row)))
                      .filter(Boolean)
                      .join(" · ")}
                  </Text>
                </div>
              )}
            />
          )}
          <footer className={styles.foot}>
            <Text size={200} role="status">
              {status}
            </Text>
          </footer>
        </div>
        {chosen !== undefined && details?.(chosen)}
      </div>
      {children}
    </>
  );
}
