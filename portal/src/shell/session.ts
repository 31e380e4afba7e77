/** Who is signed in. */
import { queryOptions, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { beginSession, onSignedOut, Refused, request, type Session } from "../api/client";

const KEY = ["session"];

/** Who is signed in, as a query. */
export const SESSION = queryOptions({
  queryKey: KEY,
  queryFn: ({ signal }) => current(signal),
  staleTime: Number.POSITIVE_INFINITY,
});

async function current(signal: AbortSignal): Promise<Session | null> {
  try {
    return await request<Session>("GET", "/api/v1/session", { signal, quiet: true });
  } catch (error) {
    if (error instanceof Refused && error.status === 401) return null;
    throw error;
  }
}

/** Return the session; null: nobody is signed in. */
export function useSession() {
  const client = useQueryClient();
  const session = useQuery(SESSION);
  useEffect(() => onSignedOut(() => client.setQueryData(KEY, null)), [client]);
  return session;
}

export function useSigning() {
  const client = useQueryClient();
  const become = async (session: Session | null) => {
    // Who was signed in until now may still be asked; that answer must not come after this one.
    await client.cancelQueries({ queryKey: KEY });
    // What one person saw is nobody else's business.
    client.removeQueries({ predicate: (query) => query.queryKey[0] !== KEY[0] });
    client.setQueryData(KEY, session);
  };
  return {
    signIn: async (body: Record<string, string>) => {
      const session = await request<Session>("POST", "/api/v1/sign-in", { body, quiet: true });
      beginSession();
      await become(session);
    },
    signOut: async () => {
      await request("DELETE", "/api/v1/session", { quiet: true });
      await become(null);
    },
  };
}
