import { useMemo } from "react";
import { go, usePlace } from "../location";
import { type FieldName, type Filter, narrowed, read, write } from "./filter";

/** The filter in the address, and what changes it. */
export function useFilter() {
  const { path, query } = usePlace();
  // The same filter is the same object, whatever else stands in the address.
  const text = write(read(query), new URLSearchParams()).toString();
  const filter = useMemo(() => read(new URLSearchParams(text)), [text]);
  const set = (next: Filter, replace = false) => go(path, write(next, query), replace);
  const narrow = (field: FieldName, value: string, not: boolean) => set(narrowed(filter, field, value, not));
  return { filter, set, narrow };
}
