import { createDOMRenderer, RendererProvider } from "@fluentui/react-components";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Refused } from "./api/client";
import { nonce } from "./nonce";
import { App } from "./shell/App";
import { pageOf } from "./shell/pages";
import { SESSION } from "./shell/session";
import "./page.css";

const renderer = createDOMRenderer(document, { styleElementAttributes: { nonce } });

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      // What the server refused it refuses again; what it could not do it may do the next time.
      retry: (failures, error) =>
        failures < 2 && error instanceof Refused && (error.status >= 500 || error.status === 429),
      retryDelay: (failures, error) =>
        1_000 * Math.max(2 ** failures, error instanceof Refused ? Math.min(error.after, 30) : 0),
      refetchOnWindowFocus: false,
      staleTime: 5_000,
    },
  },
});

// Both are needed in any case, and neither waits for the other.
void queries.prefetchQuery(SESSION);
pageOf(window.location.pathname)
  .load()
  .catch(() => undefined); // whoever draws it says so

const root = document.getElementById("root");
if (!root) throw new Error("the page has no root");
createRoot(root).render(
  <StrictMode>
    <RendererProvider renderer={renderer} targetDocument={document}>
      <QueryClientProvider client={queries}>
        <App />
      </QueryClientProvider>
    </RendererProvider>
  </StrictMode>,
);
