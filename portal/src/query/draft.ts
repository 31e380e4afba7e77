/** What is written and not run yet outlives a visit to another page, and a reload; not the tab, and not its person. */

const KEY = "whatchanged.query";

interface Draft {
  by: string;
  /** The query of the address it was written over. */
  over: string;
  text: string;
}

export function keep(draft: Draft): void {
  window.sessionStorage.setItem(KEY, JSON.stringify(draft));
}

/** Return what this person wrote over this query; null: nothing. */
export function kept(by: string, over: string): string | null {
  const found = window.sessionStorage.getItem(KEY);
  if (!found) return null;
  const draft = JSON.parse(found) as Draft;
  if (draft.by !== by) window.sessionStorage.removeItem(KEY);
  return draft.by === by && (!over || draft.over === over) ? draft.text : null;
}
