import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { TorrentsQuery } from "../../api/client";
import type { TorrentPage, TorrentRow } from "../../api/types.gen";
import { PAGE_ROWS, TorrentPages } from "./pages";

const TOTAL = 10_000;

/** A server that numbers its views, and shows rows by view and place. */
class Server {
  views = 0;
  unnamed = 0;
  total = TOTAL;
  asked: TorrentsQuery[] = [];
  held: (() => void)[] | null = null;
  error: Error | null = null;

  readonly ask = async (query: TorrentsQuery, signal: AbortSignal): Promise<TorrentPage> => {
    this.asked.push(query);
    const held = this.held;
    if (held) await new Promise<void>((resolve) => held.push(resolve));
    if (signal.aborted) throw new DOMException("", "AbortError");
    if (this.error) throw this.error;
    const view = query.view === "new" ? `view ${++this.views}` : (query.view ?? "");
    const offset = query.offset ?? 0;
    const length = Math.max(0, Math.min(query.limit ?? 0, this.total - offset));
    const torrents = Array.from({ length }, (_, index) => ({ hash: `${view}: ${offset + index}` }) as TorrentRow);
    return { total: this.total, offset, torrents, view, unnamed: this.unnamed };
  };

  places(): string[] {
    return this.asked.splice(0).map((query) => `${query.view} ${query.offset}`);
  }
}

let server: Server;
let pages: TorrentPages;

beforeEach(async () => {
  vi.useFakeTimers();
  server = new Server();
  pages = new TorrentPages(server.ask);
  pages.show({ sort: "rate" });
  await settle();
});

afterEach(() => {
  pages.close();
  vi.useRealTimers();
});

const settle = () => vi.advanceTimersByTimeAsync(100);

it("shows the first page, and its number", () => {
  expect([pages.total, pages.row(0)?.hash, pages.row(PAGE_ROWS)]).toEqual([TOTAL, "view 1: 0", undefined]);
  expect(server.places()).toEqual(["new 0"]);
});

it("fetches what can be seen, of the same view, and not what is passed", async () => {
  server.places();
  for (let first = 0; first < 5000; first += 20) pages.see(first, first + 30);
  pages.see(5040, 5070);
  await settle();
  expect(server.places()).toEqual(["view 1 5000", "view 1 5050"]);
  expect(pages.row(5060)?.hash).toBe("view 1: 5060");
  pages.see(5041, 5071);
  await settle();
  expect(server.places()).toEqual([]);
});

it("refreshes rows without moving any", async () => {
  pages.see(100, 130);
  await settle();
  server.places();
  pages.refresh(false);
  await settle();
  expect(server.places()).toEqual(["view 1 100"]);
});

it("a new order replaces rows as they come, the others stay meanwhile", async () => {
  pages.see(40, 70);
  await settle();
  server.places();
  server.held = [];
  pages.refresh(true);
  await settle();
  expect(server.places()).toEqual(["new 0"]);
  server.held.shift()?.();
  await settle();
  expect([pages.row(45)?.hash, pages.row(55)?.hash]).toEqual(["view 2: 45", "view 1: 55"]);
  expect(server.places()).toEqual(["view 2 50"]);
  server.held.shift()?.();
  await settle();
  expect(pages.row(55)?.hash).toBe("view 2: 55");
});

it("rows of the list before stay until the first of another one comes", async () => {
  server.held = [];
  pages.show({ sort: "name" });
  await settle();
  expect([pages.isOutdated, pages.row(3)?.hash]).toEqual([true, "view 1: 3"]);
  pages.show({ sort: "limit" });
  await settle();
  server.held.splice(0).forEach((go) => go());
  await settle();
  expect([pages.isOutdated, pages.row(3)?.hash, server.places()]).toEqual([
    false,
    "view 2: 3",
    ["new 0", "new 0", "new 0"],
  ]);
});

it("an error is told, and the next refresh tries again", async () => {
  server.error = new Error("away");
  pages.see(200, 230);
  await settle();
  expect(pages.error).toBe(server.error);
  expect(pages.row(0)?.hash).toBe("view 1: 0");
  server.error = null;
  pages.refresh(false);
  await settle();
  expect([pages.error, pages.row(200)?.hash]).toEqual([null, "view 1: 200"]);
});

it("keeps few pages, those in sight among them", async () => {
  for (let first = 0; first < TOTAL; first += PAGE_ROWS) {
    pages.see(first, first + 10);
    await settle();
  }
  const kept = Array.from({ length: TOTAL / PAGE_ROWS }, (_, page) => pages.row(page * PAGE_ROWS)).filter(Boolean);
  expect(kept.length).toBeLessThanOrEqual(60);
  expect(pages.row(TOTAL - PAGE_ROWS)).toBeDefined();
});

it("a list that has become short forgets the rest", async () => {
  pages.see(9990, 9999);
  await settle();
  server.total = 10;
  pages.refresh(true);
  await settle();
  expect([pages.total, pages.row(9995), pages.row(5)?.hash]).toEqual([10, undefined, "view 2: 5"]);
});

it("asks again while names are being read", async () => {
  server.unnamed = 7;
  pages.show({ search: "x" });
  await settle();
  server.places();
  server.unnamed = 0;
  await vi.advanceTimersByTimeAsync(1000);
  expect(server.places()).toEqual(["new 0"]);
  await vi.advanceTimersByTimeAsync(5000);
  expect(server.places()).toEqual([]);
});
