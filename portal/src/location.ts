/** The address: what is shown stands in it, so that links, reloads and the back button work. */
import { useSyncExternalStore } from "react";

const listeners = new Set<() => void>();

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  window.addEventListener("popstate", listener);
  return () => {
    listeners.delete(listener);
    window.removeEventListener("popstate", listener);
  };
}

export interface Place {
  path: string;
  query: URLSearchParams;
}

const address = () => window.location.pathname + window.location.search;

export function usePlace(): Place {
  const [path = "/", query = ""] = useSyncExternalStore(subscribe, address).split("?");
  return { path, query: new URLSearchParams(query) };
}

/** Go to an address. `replace`: typing is no step that the back button should take. */
export function go(path: string, query: URLSearchParams, replace = false): void {
  const text = query.toString();
  const target = text ? `${path}?${text}` : path;
  if (target === address()) return;
  if (replace) window.history.replaceState(null, "", target);
  else window.history.pushState(null, "", target);
  for (const listener of [...listeners]) listener();
}
