/** Where nothing was asked yet: how to, and a few queries to begin with. */
import { Button, makeStyles, Subtitle1, Text, tokens } from "@fluentui/react-components";
import { useQuery } from "@tanstack/react-query";
import { visible } from "../text";
import { list, SAVED, type SavedQuery } from "./saved";

const useStyles = makeStyles({
  place: {
    padding: tokens.spacingHorizontalXL,
    display: "flex",
    flexDirection: "column",
    rowGap: tokens.spacingVerticalS,
    alignItems: "flex-start",
    overflow: "auto",
  },
  choice: { textAlign: "left", justifyContent: "flex-start", fontWeight: tokens.fontWeightRegular, minWidth: 0 },
});

const MOST = 6;

export function Beginnings({ open, all }: { open: (saved: SavedQuery) => void; all: () => void }) {
  const styles = useStyles();
  const saved = useQuery({ queryKey: SAVED, queryFn: ({ signal }) => list(signal) });
  // What wants a value first is nothing to begin with.
  const first = (saved.data ?? []).filter((one) => !one.query.includes("query_parameters")).slice(0, MOST);
  return (
    <section className={styles.place} aria-label="Nothing was asked yet">
      <Subtitle1 as="h2">Nothing was asked yet</Subtitle1>
      <Text>Write a query above and run it, or begin with one of these:</Text>
      {first.map((one) => (
        <Button key={one.name} appearance="subtle" className={styles.choice} onClick={() => open(one)}>
          {visible(one.description || one.name)}
        </Button>
      ))}
      <Button onClick={all}>All queries</Button>
    </section>
  );
}
