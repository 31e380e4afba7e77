/** Hears when rows arrive at the server: a request is held open there until they do. */
import { useEffect, useRef, useState } from "react";
import { Refused, request } from "./client";

const WAIT = 25;
/** Looks are this far apart at least, however much arrives, and the further the longer they take. */
const PACE = 1_000;
const REST = 5;
const LONGEST_PAUSE = 30_000;

const pause = (milliseconds: number, signal: AbortSignal) =>
  new Promise<void>((done) => {
    const timer = window.setTimeout(done, milliseconds);
    signal.addEventListener("abort", () => {
      window.clearTimeout(timer);
      done();
    });
  });

interface Listening {
  /** What is looked at; another one begins anew. */
  topic: string;
  ready: boolean;
  /** Whether to look at once, or only at what arrives from now on. */
  first: boolean;
}

/** Call `look` whenever something has arrived. Returns whether the server is heard. */
export function useArrivals(look: (signal: AbortSignal) => Promise<void>, { topic, ready, first }: Listening): boolean {
  const [heard, setHeard] = useState(true);
  const latest = useRef(look);
  latest.current = look;

  // biome-ignore lint/correctness/useExhaustiveDependencies: another topic begins anew
  useEffect(() => {
    if (!ready) return;
    const ending = new AbortController();
    const { signal } = ending;
    const listen = async () => {
      let known = "";
      let failures = 0;
      while (!signal.aborted) {
        try {
          const query = new URLSearchParams({ known, waitSeconds: known ? String(WAIT) : "0" });
          const { mark } = await request<{ mark: string }>("GET", `/api/v1/arrivals?${query}`, { signal });
          const began = performance.now();
          if (mark !== known && (known || first)) await latest.current(signal);
          known = mark;
          failures = 0;
          setHeard(true);
          await pause(Math.max(PACE, REST * (performance.now() - began)), signal);
        } catch (error) {
          if (signal.aborted) return;
          // Whoever is signed out is told so elsewhere; nothing that is asked helps.
          if (error instanceof Refused && error.status === 401) return;
          failures += 1;
          setHeard(false);
          await pause(Math.min(PACE * 2 ** failures, LONGEST_PAUSE), signal);
        }
      }
    };
    void listen();
    return () => ending.abort();
  }, [ready, topic, first]);
  return heard;
}
