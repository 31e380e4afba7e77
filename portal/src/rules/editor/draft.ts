/** What somebody wrote and has not saved: it stays while other pages are looked at, and goes with the session. */
import type { QueryClient } from "@tanstack/react-query";

export interface Draft {
  text: string;
  /** Of the version that it began with; empty: of a rule that is not there yet. Missing: of what is there now. */
  etag?: string;
  /** What stood in that version. */
  base?: string;
}

const KEY = "rule-draft";

export function keepDraft(client: QueryClient, name: string, draft: Draft): void {
  client.setQueryDefaults([KEY], { gcTime: Number.POSITIVE_INFINITY });
  client.setQueryData([KEY, name], draft);
}

export const draftOf = (client: QueryClient, name: string) => client.getQueryData<Draft>([KEY, name]);

export const forgetDraft = (client: QueryClient, name: string) => client.removeQueries({ queryKey: [KEY, name] });
