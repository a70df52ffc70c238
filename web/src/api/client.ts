/**
 * All calls of the API, one function each. Pages call these and nothing else.
 *
 * Paths, parameters, bodies and answers are checked against the server's OpenAPI document (`types.gen.ts`). An answer
 * that says no becomes an `ApiError`. If the session has ended, the person is asked to log in, and the call goes on
 * after that.
 */

import { signal } from "@preact/signals";
import type {
  BoostBody,
  ConnectionBody,
  EditBody,
  Login,
  paths,
  EditProblem,
  HushBody,
  RestoreBody,
  SessionInfo,
} from "./types.gen";

type Method = "get" | "post" | "put" | "delete" | "patch";
type Operation<P extends keyof paths, M extends Method> = NonNullable<paths[P][M]>;
type PathOf<O> = O extends { parameters: { path: infer Found } } ? Found : undefined;
type QueryOf<O> = O extends { parameters: { query?: infer Found } } ? Found : undefined;
type BodyOf<O> = O extends { requestBody?: { content: { "application/json": infer Found } } } ? Found : undefined;
type AnswerOf<O> = O extends { responses: { 200: { content: { "application/json": infer Found } } } }
  ? Found
  : O extends { responses: { 201: { content: { "application/json": infer Found } } } }
    ? Found
    : undefined;

interface Given<O> {
  path?: PathOf<O>;
  query?: QueryOf<O>;
  body?: BodyOf<O>;
  signal?: AbortSignal | undefined;
  /** An API key for this call alone. */
  key?: string;
}

/** What a refusal says; `yaml` and `faults` are those of edits of the configuration. */
type Problem = Partial<EditProblem>;

// -- errors -----------------------------------------------------------------------------------------------------------

/** The server said no (`status`, and the members of RFC 9457), or could not be reached (`status` 0). */
export class ApiError extends Error {
  readonly status: number;
  readonly problem: Problem;
  /** Seconds after which to ask again; 0 if the server does not say. */
  readonly retryAfterS: number;

  constructor(status: number, problem: Problem, retryAfterS = 0) {
    super(problem.detail || problem.title || String(status));
    this.status = status;
    this.problem = problem;
    this.retryAfterS = retryAfterS;
  }

  /** The kind of problem, as `csrf` of `/problems/csrf`. */
  get kind(): string {
    return this.problem.type?.replace("/problems/", "") ?? "";
  }

  /** What is wrong with one field of the body, in the server's words; empty if nothing is. */
  of(field: string): string {
    const found = this.problem.errors?.filter((fault) => fault.pointer === `#/${field}`) ?? [];
    return found.map((fault) => fault.detail).join("; ");
  }

  /** What no field of these tells. */
  besides(fields: readonly string[]): string {
    const all = this.problem.errors ?? [];
    const left = all.filter((fault) => !fields.some((field) => fault.pointer === `#/${field}`));
    return all.length > 0 ? left.map((fault) => fault.detail).join("; ") : this.message;
  }
}

// -- session ----------------------------------------------------------------------------------------------------------

/** Whether the person is let in. `expired`: it was, until its session ended. `password`: a name and password exist. */
export type Session =
  | { readonly state: "unknown" }
  | { readonly state: "out"; readonly expired: boolean; readonly password: boolean }
  | { readonly state: "in"; readonly info: SessionInfo };

export const session = signal<Session>({ state: "unknown" });

function shutOut(response: Response): void {
  const before = session.peek();
  if (before.state === "out" && before.expired) return;
  const password = response.headers.get("WWW-Authenticate")?.includes("Password") ?? false;
  session.value = { state: "out", expired: before.state === "in", password };
}

/** Wait until the person has logged in. */
function letIn(): Promise<void> {
  return new Promise((resolve) => {
    const stop = session.subscribe((now) => {
      if (now.state !== "in") return;
      resolve();
      queueMicrotask(() => stop());
    });
  });
}

// -- the one place that asks ------------------------------------------------------------------------------------------

async function ask(method: Method, path: string, given: Given<unknown>): Promise<Response> {
  const headers: Record<string, string> = { Accept: "application/json" };
  const now = session.peek();
  if (given.key) headers["X-Api-Key"] = given.key;
  if (given.body !== undefined) headers["Content-Type"] = "application/json";
  if (method !== "get" && now.state === "in" && now.info.csrf_token) headers["X-CSRF-Token"] = now.info.csrf_token;
  try {
    return await fetch(path, {
      method: method.toUpperCase(),
      headers,
      credentials: "same-origin",
      cache: "no-store",
      body: given.body === undefined ? null : JSON.stringify(given.body),
      signal: given.signal ?? null,
    });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError(0, {});
  }
}

async function errorOf(response: Response): Promise<ApiError> {
  let problem: Problem = { title: response.statusText };
  try {
    problem = (await response.json()) as Problem;
  } catch {
    // A proxy's page: the status has to do.
  }
  return new ApiError(response.status, problem, Number(response.headers.get("Retry-After")) || 0);
}

async function call<P extends keyof paths, M extends Method>(
  method: M,
  path: P,
  given: Given<Operation<P, M>> = {},
): Promise<AnswerOf<Operation<P, M>>> {
  type Answer = AnswerOf<Operation<P, M>>;
  const filled = path.replace(/\{(\w+)\}/g, (_, name: string) =>
    encodeURIComponent(String((given.path as Record<string, unknown>)[name])),
  );
  const query = new URLSearchParams();
  const asked: Record<string, string | number | boolean | null | undefined> = given.query ?? {};
  for (const [name, value] of Object.entries(asked)) {
    if (value !== undefined && value !== null) query.set(name, String(value));
  }
  const address = filled.slice(1) + (query.size > 0 ? `?${query.toString()}` : ""); // relative: there may be a base path
  let renewed = false;
  for (;;) {
    const response = await ask(method, address, given as Given<unknown>);
    if (response.ok) return (response.status === 204 ? undefined : await response.json()) as Answer;
    const error = await errorOf(response);
    if (error.status === 401 && address !== SESSION && !given.key) {
      shutOut(response);
      await letIn();
    } else if (error.status === 401 && method === "get") {
      shutOut(response);
      throw error;
    } else if (error.kind === "csrf" && !renewed) {
      renewed = true;
      await checkSession();
    } else {
      throw error;
    }
  }
}

const SESSION = "api/v1/session";

// -- calls: session ---------------------------------------------------------------------------------------------------

/** Find out whether the person is let in already. */
export async function checkSession(): Promise<void> {
  try {
    session.value = { state: "in", info: await call("get", "/api/v1/session") };
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 401) throw error;
  }
}

export async function logIn(credentials: Partial<Login>): Promise<void> {
  session.value = {
    state: "in",
    info: await call("post", "/api/v1/session", { body: { username: "", password: "", api_key: "", ...credentials } }),
  };
}

export async function logOut(): Promise<void> {
  try {
    await call("delete", "/api/v1/session");
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 401) throw error;
  }
  session.value = { state: "out", expired: false, password: true };
  await checkSession();
}

// -- calls: status and commands ---------------------------------------------------------------------------------------

export const getStatus = (signal?: AbortSignal) => call("get", "/api/v1/status", { signal });

export const pause = (reason: string) => call("post", "/api/v1/pause", { body: { reason } });

export const resume = () => call("post", "/api/v1/resume");

/** Run a cycle now; also tries a refused login again. */
export const forceCycle = () => call("post", "/cycle/force");

// -- calls: trackers --------------------------------------------------------------------------------------------------

/** A cap for a while, as it was typed: the server reads it (`2 MiB/s`, `unlimited`). The line has an empty id. */
export const setOverride = (group: string, cap: string, seconds: number) =>
  group === ""
    ? call("put", "/api/v1/line/override", { body: { cap, seconds } })
    : call("put", "/api/v1/trackers/{tracker}/override", { path: { tracker: group }, body: { cap, seconds } });

export const endOverride = (group: string) =>
  group === ""
    ? call("delete", "/api/v1/line/override")
    : call("delete", "/api/v1/trackers/{tracker}/override", { path: { tracker: group } });

/** All temporary caps. */
export const getOverrides = (signal?: AbortSignal) => call("get", "/api/v1/overrides", { signal });

/** Trackers that qBittorrent knows, by host; the server asks qBittorrent every 15 s at most. */
export const getHosts = (signal?: AbortSignal) => call("get", "/api/v1/hosts", { signal });

/** Boosts and hushes in force. */
export const getOrders = (signal?: AbortSignal) => call("get", "/api/v1/orders", { signal });

/** Higher caps for a while; no groups: all of them. */
export const boost = (body: BoostBody) => call("put", "/api/v1/orders/boost", { body });

/** Lower caps for a while; no groups: all of them, and the line. */
export const hush = (body: HushBody) => call("put", "/api/v1/orders/hush", { body });

export const endOrders = (kind: "boost" | "hush") =>
  kind === "boost" ? call("delete", "/api/v1/orders/boost") : call("delete", "/api/v1/orders/hush");

/** Categories and tags that torrents have now. */
export const getLabels = (signal?: AbortSignal) => call("get", "/api/v1/labels", { signal });

/** Which rule takes an announce URL. */
export const matchUrl = (url: string) => call("get", "/match/test", { query: { url, detailed: true } });

// -- calls: history ---------------------------------------------------------------------------------------------------

/** Rates of all trackers, Unix seconds; `step`: seconds that a point covers. */
export const getHistory = (start: number, end: number, step: number, signal?: AbortSignal) =>
  call("get", "/api/v1/history", { query: { start, end, step }, signal });

/** Rates of the last five minutes, by cycle. */
export const getRecent = () => call("get", "/api/v1/history/recent");

/** What each tracker uploaded since a Unix time. */
export const getTotals = (start: number, signal?: AbortSignal) =>
  call("get", "/api/v1/history/totals", { query: { start }, signal });

export type UsageQuery = NonNullable<QueryOf<NonNullable<paths["/api/v1/usage"]["get"]>>>;

/** What a group uploaded, by hour, day or month. */
export const getUsage = (query: UsageQuery, signal?: AbortSignal) => call("get", "/api/v1/usage", { query, signal });

/** Where the same is to be had as CSV. */
export const usageCsv = (query: UsageQuery) =>
  `api/v1/usage.csv?${new URLSearchParams(query as Record<string, string>)}`;

// -- calls: torrents --------------------------------------------------------------------------------------------------

export type TorrentsQuery = NonNullable<QueryOf<NonNullable<paths["/api/v1/torrents"]["get"]>>>;

/** A page of a list. `view`: `new`, or as an earlier page of the same list named it. */
export const getTorrents = (query: TorrentsQuery, signal?: AbortSignal) =>
  call("get", "/api/v1/torrents", { query, signal });

/** Which of several qBittorrents has a torrent; null if there is only one. */
type Instance = string | null;

/** A torrent, and its last minutes after a Unix time. The server records them while this is asked. */
export const getRecentTorrent = (hash: string, instance: Instance, since: number, signal?: AbortSignal) =>
  call("get", "/api/v1/torrents/{hash}/recent", { path: { hash }, query: { instance, since }, signal });

export const getTorrentHosts = (hash: string, instance: Instance, signal?: AbortSignal) =>
  call("get", "/api/v1/torrents/{hash}/hosts", { path: { hash }, query: { instance }, signal });

/** What was written to a torrent, newest first. */
export const getLimitHistory = (hash: string, instance: Instance, limit: number, signal?: AbortSignal) =>
  call("get", "/api/v1/journal", { query: { instance, hash, limit }, signal });

/** Put a torrent's own limit back. The next cycle decides again. */
export const resetTorrent = (hash: string, instance: Instance) =>
  call("post", "/api/v1/torrents/{hash}/reset", { path: { hash }, query: { instance } });

// -- calls: journal ---------------------------------------------------------------------------------------------------

export type JournalQuery = NonNullable<paths["/api/v1/journal"]["get"]["parameters"]["query"]>;

/** Changes of limits, newest first. */
export const getJournal = (query: JournalQuery, signal?: AbortSignal) =>
  call("get", "/api/v1/journal", { query, signal });

/** Give torrents their original limits back, or (`dry_run`) tell what would become of them. `hashes`: null is all. */
export const restore = (body: RestoreBody, signal?: AbortSignal) =>
  call("post", "/api/v1/journal/restore", { body, signal });

// -- calls: settings and setup ----------------------------------------------------------------------------------------

/** All settings that there are, with their help. */
export const getSchema = () => call("get", "/api/v1/config/schema");

/** The configuration file as it is now. */
export const getFile = () => call("get", "/api/v1/config/file");

/** What edits would come to; `effect`: also for limits, with torrents of the rule `torrents_of`. Nothing is written. */
export const tryEdits = (edits: EditBody[], etag: string, effect: boolean, signal?: AbortSignal, torrents_of = "") =>
  call("post", "/api/v1/config/try", { body: { edits, etag, effect, torrents_of }, signal });

export const saveEdits = (edits: EditBody[], etag: string) =>
  call("post", "/api/v1/config/save", { body: { edits, etag } });

/** Put the configuration before the last save back. */
export const undoSave = (etag: string) => call("post", "/api/v1/config/undo", { body: { etag } });

/** Log in to qBittorrent; what is null is taken as it is configured. */
export const testConnection = (body: ConnectionBody) => call("post", "/api/v1/connection/test", { body });

/** Send a test message; null: to all that are configured. */
export const testMessage = (urls: string[] | null) => call("post", "/api/v1/notifications/test", { body: { urls } });

export const getSetup = (signal?: AbortSignal) => call("get", "/api/v1/setup", { signal });

/** Make the first user; `key`: the API key, if the server asks for it. */
export const makeUser = (username: string, password: string, key: string) =>
  call("post", "/api/v1/setup/user", { body: { username, password }, key });
