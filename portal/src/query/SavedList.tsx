/** The queries that are kept: those that came with the server, and those that people saved. */
import {
  Button,
  Dialog,
  DialogActions,
  DialogBody,
  DialogContent,
  DialogSurface,
  DialogTitle,
  makeStyles,
  SearchBox,
  Spinner,
  Subtitle2,
  Text,
  tokens,
} from "@fluentui/react-components";
import { DeleteRegular } from "@fluentui/react-icons";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { whenText } from "../moments";
import { Drawer } from "../states/Drawer";
import { Problem } from "../states/Problem";
import { visible } from "../text";
import { list, remove, SAVED, type SavedQuery } from "./saved";

const useStyles = makeStyles({
  list: { listStyle: "none", margin: 0, padding: 0 },
  one: { display: "flex", alignItems: "flex-start", columnGap: tokens.spacingHorizontalXS },
  name: {
    flexGrow: 1,
    minWidth: 0,
    justifyContent: "flex-start",
    textAlign: "left",
    overflowWrap: "anywhere",
    fontWeight: tokens.fontWeightRegular,
  },
  words: { display: "flex", flexDirection: "column", minWidth: 0 },
  more: { color: tokens.colorNeutralForeground2 },
});

interface SavedListProps {
  open: (saved: SavedQuery) => void;
  mayDelete: boolean;
  close: () => void;
}

/** Return what of a query is looked through. */
const words = (one: SavedQuery) => `${one.name} ${one.description} ${one.category} ${one.tags.join(" ")}`.toLowerCase();

/** What people saved stands first, under the head of its category. */
function grouped(found: SavedQuery[]): [string, SavedQuery[]][] {
  const groups = new Map<string, SavedQuery[]>();
  for (const one of [...found].sort((a, b) => Number(a.builtIn) - Number(b.builtIn))) {
    const head = one.category || (one.builtIn ? "Built in" : "Saved");
    groups.set(head, [...(groups.get(head) ?? []), one]);
  }
  return [...groups];
}

export function SavedList({ open, mayDelete, close }: SavedListProps) {
  const styles = useStyles();
  const client = useQueryClient();
  const [text, setText] = useState("");
  const [doomed, setDoomed] = useState<SavedQuery | null>(null);
  const saved = useQuery({ queryKey: SAVED, queryFn: ({ signal }) => list(signal) });
  const removing = useMutation({
    mutationFn: remove,
    onSettled: () => client.invalidateQueries({ queryKey: SAVED }),
    onSuccess: () => setDoomed(null),
  });
  const found = (saved.data ?? []).filter((one) => words(one).includes(text.trim().toLowerCase()));
  return (
    <Drawer of="Queries" title="Queries" close={close}>
      <SearchBox
        aria-label="Filter the queries"
        placeholder="Name, description, category"
        value={text}
        onChange={(_, { value }) => setText(value)}
      />
      {saved.isPending && <Spinner label="Looking for queries" />}
      {saved.error && <Problem error={saved.error} again={() => void saved.refetch()} />}
      {saved.data && !found.length && <Text>No query has this in its name, description or category.</Text>}
      {grouped(found).map(([head, queries]) => (
        <section key={head} aria-label={visible(head)}>
          <Subtitle2 as="h2">{visible(head)}</Subtitle2>
          <ul className={styles.list}>
            {queries.map((one) => (
              <li key={one.name} className={styles.one}>
                <Button appearance="subtle" className={styles.name} onClick={() => open(one)}>
                  <span className={styles.words}>
                    <Text weight="semibold">{visible(one.name)}</Text>
                    {one.description && (
                      <Text size={200} className={styles.more}>
                        {visible(one.description)}
                      </Text>
                    )}
                    {one.updatedBy && (
                      <Text size={200} className={styles.more}>
                        {`saved by ${visible(one.updatedBy)}, ${whenText(one.updatedAt)}`}
                      </Text>
                    )}
                  </span>
                </Button>
                {mayDelete && !one.builtIn && (
                  <Button
                    appearance="subtle"
                    icon={<DeleteRegular />}
                    aria-label={`Delete ${visible(one.name)}`}
                    onClick={() => setDoomed(one)}
                  />
                )}
              </li>
            ))}
          </ul>
        </section>
      ))}
      {doomed && (
        <Dialog open onOpenChange={(_, { open: isOpen }) => isOpen || setDoomed(null)}>
          <DialogSurface>
            <DialogBody>
              <DialogTitle>Delete the query {visible(doomed.name)}?</DialogTitle>
              <DialogContent>
                It goes for everybody. {removing.error && <Problem error={removing.error} />}
              </DialogContent>
              <DialogActions>
                <Button onClick={() => setDoomed(null)}>Keep it</Button>
                <Button appearance="primary" disabled={removing.isPending} onClick={() => removing.mutate(doomed)}>
                  Delete
                </Button>
              </DialogActions>
            </DialogBody>
          </DialogSurface>
        </Dialog>
      )}
    </Drawer>
  );
}
