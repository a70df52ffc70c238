import { defineConfig } from "vitest/config";

/** Where `npm run dev` finds a running Qguardarr; set QGUARDARR_KEY, too, and no login is needed. */
const daemon = process.env["QGUARDARR_URL"] ?? "http://127.0.0.1:8089";
const key = process.env["QGUARDARR_KEY"];

export default defineConfig({
  base: "./", // the same files work under any base path
  publicDir: false,
  esbuild: { jsx: "automatic", jsxImportSource: "preact" },
  build: {
    target: "es2022",
    outDir: "../src/qguardarr/api/web/dashboard",
    emptyOutDir: true,
    assetsInlineLimit: 0, // the policy allows no inline style or script
    modulePreload: { polyfill: false },
    reportCompressedSize: false, // scripts/compress.mjs tells what is sent
  },
  server: {
    host: "127.0.0.1",
    proxy: Object.fromEntries(
      ["/api", "/cycle", "/docs", "/openapi.json"].map((path) => [
        path,
        { target: daemon, ...(key ? { headers: { "X-Api-Key": key } } : {}) },
      ]),
    ),
  },
  test: {
    environment: "happy-dom",
    include: ["src/**/*.test.{ts,tsx}"],
    restoreMocks: true,
  },
});
