/** The query of the address, and its answer. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useFilter } from "../filter/useFilter";
import { usePlace } from "../location";
import { givenIn, PACKED, PLAIN, unpacked } from "./address";
import { answer, timespan } from "./ask";

/** Milliseconds that an answer is kept which is not looked at: the way back to it is quick, and large ones go. */
const KEPT = 60_000;

export function useAnswer() {
  const { query } = usePlace();
  const { filter } = useFilter();
  const client = useQueryClient();
  const [times, setTimes] = useState(0);
  const [cancelled, setCancelled] = useState("");
  const time = timespan(filter);
  const given = givenIn(query);
  const address = useQuery({
    queryKey: ["query of the address", query.get(PLAIN), query.get(PACKED)],
    queryFn: () => unpacked(query),
    staleTime: Number.POSITIVE_INFINITY,
    retry: false,
  });
  const text = address.data ?? "";
  const key = ["answer", text, given, time ?? "", times];
  const name = JSON.stringify(key);
  const isCancelled = cancelled === name;
  const result = useQuery({
    queryKey: key,
    queryFn: ({ signal }) => answer(text, given, time, signal),
    enabled: text !== "" && !isCancelled,
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: KEPT,
    retry: false,
  });
  return {
    address,
    text,
    given,
    result,
    name,
    isCancelled,
    /** Ask once more, also what was asked already. */
    again: () => setTimes(times + 1),
    /** Let go of the question: the server ends it then. */
    cancel: () => {
      setCancelled(name);
      void client.cancelQueries({ queryKey: key });
    },
  };
}
