// Compress the built files once, so that the server only sends them. Say what the first page weighs; too much is an error.
import { readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { dirname, extname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const FOLDER = join(dirname(fileURLToPath(import.meta.url)), "../../src/qguardarr/api/web/dashboard");
const COMPRESSED = new Set([".html", ".js", ".css", ".svg"]);
const MOST_FIRST_BYTES = 120_000; // what issue 11 allows the first load

function files(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? files(join(folder, entry.name)) : [join(folder, entry.name)],
  );
}

const sizes = new Map();
for (const file of files(FOLDER)) {
  if (!COMPRESSED.has(extname(file))) continue;
  const content = readFileSync(file);
  const packed = gzipSync(content, { level: 9 });
  writeFileSync(`${file}.gz`, packed);
  writeFileSync(`${file}.br`, brotliCompressSync(content, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }));
  sizes.set(relative(FOLDER, file), packed.length);
}

// All that is asked for before the overview shows something: the page, what it names, and the overview's own parts.
const index = readFileSync(join(FOLDER, "index.html"), "utf8");
const first = (name) => name === "index.html" || index.includes(name) || /assets\/(overview|chart|uPlot)/i.test(name);
let total = 0;
for (const [name, size] of [...sizes].sort(([a], [b]) => a.localeCompare(b))) {
  console.log(`${String(size).padStart(7)}  ${first(name) ? "first" : "later"}  ${name}`);
  if (first(name)) total += size;
}
const unpacked = [...sizes.keys()].reduce((sum, name) => sum + statSync(join(FOLDER, name)).size, 0);
console.log(
  `First load: ${total} bytes gzipped, of ${MOST_FIRST_BYTES} allowed; all files: ${unpacked} bytes unpacked`,
);
if (total > MOST_FIRST_BYTES) process.exit(1);
