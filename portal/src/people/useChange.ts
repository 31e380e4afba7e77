import { useMutation, useQueryClient } from "@tanstack/react-query";
import { request } from "../api/client";

export interface Change {
  method: "POST" | "PUT" | "DELETE";
  path: string;
  body?: unknown;
}

/** A change that makes lists stale; `done` hears its answer. */
export function useChange<T = unknown>(stale: string[], done?: (answer: T) => void) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ method, path, body }: Change) => request<T>(method, path, { body }),
    onSuccess: (answer) => {
      for (const key of [...stale, "audit"]) void client.invalidateQueries({ queryKey: [key] });
      done?.(answer);
    },
  });
}
