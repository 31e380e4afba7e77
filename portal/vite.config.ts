import { gzipSync } from "node:zlib";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

/** Beside every file that is worth it, the same in gzip: the server sends it as it is. */
function zipped(): Plugin {
  return {
    name: "zipped",
    apply: "build",
    generateBundle: {
      order: "post",
      handler(_, bundle) {
        for (const [name, file] of Object.entries(bundle)) {
          const content = file.type === "chunk" ? file.code : file.source;
          if (name.startsWith("assets/") && content.length > 1024) {
            this.emitFile({ type: "asset", fileName: `${name}.gz`, source: gzipSync(content, { level: 9 }) });
          }
        }
      },
    },
  };
}

export default defineConfig({
  plugins: [react(), zipped()],
  // The server puts a nonce of its own into every answer (server/api/portal.py).
  html: { cspNonce: "__NONCE__" },
  // The language service of Kusto was made for Node.js.
  define: { global: "globalThis" },
  build: {
    outDir: "../src/whatchanged/server/portal",
    emptyOutDir: true,
    target: "es2023",
    // The language service of Kusto is 8 MB: a worker, loaded by the page of queries alone.
    chunkSizeWarningLimit: 8500,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  // Its `eval` is on a way that is not taken; the policy of the page would not let it.
  worker: { rolldownOptions: { checks: { eval: false } } },
  server: { proxy: { "/api": "http://127.0.0.1:8350", "/v1": "http://127.0.0.1:8350" } },
});
