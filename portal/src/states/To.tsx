import { Link, makeStyles } from "@fluentui/react-components";
import type { MouseEvent, ReactNode } from "react";
import { type Filter, write } from "../filter/filter";
import { go } from "../location";

const useStyles = makeStyles({
  words: { overflow: "hidden", textOverflow: "ellipsis", whiteSpace: "nowrap", minWidth: 0 },
});

interface ToProps {
  path: string;
  filter: Filter;
  /** What else stands in the address. */
  with?: Record<string, string>;
  children: ReactNode;
}

/** A link to a list. It has an address, so that it opens in another tab, too. */
export function To({ path, filter, with: others = {}, children }: ToProps) {
  const query = write(filter, new URLSearchParams(others));
  const follow = (event: MouseEvent) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    go(path, query);
  };
  return (
    <Link href={`${path}?${query}`} onClick={follow} className={useStyles().words}>
      {children}
    </Link>
  );
}
