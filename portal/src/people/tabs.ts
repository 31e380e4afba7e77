import type { Session } from "../api/client";

/** What every tab gets. */
export interface TabProps {
  session: Session;
  /** Key of the row whose details are open. */
  selected: string | null;
  select: (key: string | null) => void;
}
