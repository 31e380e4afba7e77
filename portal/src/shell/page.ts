import type { Session } from "../api/client";

/** What every page gets. */
export interface PageProps {
  session: Session;
  dark: boolean;
}
