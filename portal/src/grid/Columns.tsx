/** Which columns a list shows: chosen by the person, kept by the browser, and in the address for whoever gets the link. */
import {
  Button,
  Menu,
  MenuItem,
  MenuItemCheckbox,
  MenuList,
  MenuPopover,
  MenuTrigger,
  makeStyles,
} from "@fluentui/react-components";
import { ColumnTripleEditRegular } from "@fluentui/react-icons";
import { useMemo, useSyncExternalStore } from "react";
import { go, usePlace } from "../location";
import { useNarrow } from "../shell/media";
import type { Column } from "./Grid";

const NAME = "columns";

const place = (list: string) => `whatchanged.columns.${list}`;

const listeners = new Set<() => void>();

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** What the browser keeps of a list. */
const useKept = (list: string) => useSyncExternalStore(subscribe, () => window.localStorage.getItem(place(list)));

function keep(list: string, names: string | null): void {
  if (names === null) window.localStorage.removeItem(place(list));
  else window.localStorage.setItem(place(list), names);
  for (const listener of [...listeners]) listener();
}

const useStyles = makeStyles({ list: { maxHeight: "60vh", overflowY: "auto" } });

/** Return the columns of a list that are shown, in their order. */
export function useColumns<T>(list: string, all: Column<T>[]): Column<T>[] {
  const { query } = usePlace();
  const kept = useKept(list);
  const chosen = query.get(NAME) ?? kept;
  return useMemo(() => {
    const names = new Set(chosen?.split(","));
    const shown = all.filter((column) => names.has(column.id));
    // Names that it has not are those of another list, from which somebody came here.
    return shown.length && shown.length === names.size ? shown : all.filter((column) => !column.extra);
  }, [all, chosen]);
}

interface ChooserProps<T> {
  list: string;
  all: Column<T>[];
  shown: Column<T>[];
}

export function ColumnChooser<T>({ list, all, shown }: ChooserProps<T>) {
  const styles = useStyles();
  const { path, query } = usePlace();
  const narrow = useNarrow();
  if (narrow) return null;
  const choose = (names: string[] | null) => {
    const next = new URLSearchParams(query);
    const wanted = names && all.filter((column) => names.includes(column.id)).map((column) => column.id);
    if (wanted?.length) {
      next.set(NAME, wanted.join(","));
      keep(list, wanted.join(","));
    } else {
      next.delete(NAME);
      keep(list, null);
    }
    go(path, next, true);
  };
  return (
    <Menu
      checkedValues={{ columns: shown.map((column) => column.id) }}
      onCheckedValueChange={(_, { checkedItems }) => choose(checkedItems)}
    >
      <MenuTrigger disableButtonEnhancement>
        <Button appearance="subtle" icon={<ColumnTripleEditRegular />}>
          Columns
        </Button>
      </MenuTrigger>
      <MenuPopover>
        <MenuList className={styles.list}>
          <MenuItem onClick={() => choose(null)}>As they were</MenuItem>
          {all.map((column) => (
            <MenuItemCheckbox key={column.id} name="columns" value={column.id}>
              {column.label}
            </MenuItemCheckbox>
          ))}
        </MenuList>
      </MenuPopover>
    </Menu>
  );
}
