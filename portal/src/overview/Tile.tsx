/** A part of the overview. What is drawn can be read as a table, too. */
import { Button, Card, CardHeader, makeStyles, Spinner, Subtitle2, Text, tokens } from "@fluentui/react-components";
import { ChartMultipleRegular, TableRegular } from "@fluentui/react-icons";
import { keepPreviousData, type QueryKey, queryOptions, usePrefetchQuery, useQuery } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";
import { Problem } from "../states/Problem";

export const useTileStyles = makeStyles({
  wide: { gridColumn: "1 / -1" },
  as: { whiteSpace: "nowrap" },
  list: {
    listStyle: "none",
    margin: 0,
    padding: 0,
    display: "flex",
    flexDirection: "column",
    rowGap: tokens.spacingVerticalXS,
  },
  entry: { display: "flex", columnGap: tokens.spacingHorizontalM, justifyContent: "space-between", minWidth: 0 },
  totals: { display: "flex", flexWrap: "wrap", gap: tokens.spacingHorizontalM },
  table: { maxHeight: "20rem", overflow: "auto" },
  cells: {
    borderCollapse: "collapse",
    "& th, & td": {
      padding: `2px ${tokens.spacingHorizontalS}`,
      textAlign: "right",
      whiteSpace: "nowrap",
      borderBottom: `1px solid ${tokens.colorNeutralStroke3}`,
    },
    "& th:first-child": { textAlign: "left", fontWeight: tokens.fontWeightRegular },
  },
});

interface TileProps {
  title: string;
  wide?: boolean;
  /** The same in words and links. */
  table?: ReactNode;
  children: ReactNode;
}

export function Tile({ title, wide, table, children }: TileProps) {
  const styles = useTileStyles();
  const [asTable, setAsTable] = useState(false);
  return (
    <Card className={wide ? styles.wide : ""} role="group" aria-label={title}>
      <CardHeader
        header={<Subtitle2 as="h2">{title}</Subtitle2>}
        {...(table
          ? {
              action: (
                <Button
                  size="small"
                  appearance="subtle"
                  className={styles.as}
                  icon={asTable ? <ChartMultipleRegular /> : <TableRegular />}
                  onClick={() => setAsTable(!asTable)}
                >
                  {asTable ? "Show as chart" : "Show as table"}
                </Button>
              ),
            }
          : {})}
      />
      {asTable && table ? (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard
        <section className={styles.table} tabIndex={0} aria-label={`${title}, as table`}>
          {table}
        </section>
      ) : (
        children
      )}
    </Card>
  );
}

export function useAsked<T>(key: QueryKey, work: (signal: AbortSignal) => Promise<T>) {
  const asked = queryOptions({ queryKey: ["overview", ...key], queryFn: ({ signal }) => work(signal) });
  // On its way while the rest is drawn for the first time, which takes as long as the answer.
  usePrefetchQuery(asked);
  return useQuery({ ...asked, placeholderData: keepPreviousData });
}

interface StateProps {
  asked: { isPending: boolean; error: Error | null; refetch: () => unknown };
  none: string;
}

export function State({ asked, none }: StateProps) {
  if (asked.isPending) return <Spinner size="small" label="Counting" />;
  if (asked.error) return <Problem error={asked.error} again={() => void asked.refetch()} />;
  return none ? <Text>{none}</Text> : null;
}
