import { describe, expect, it } from "vitest";
import type { EditFault, FileState, SettingHelp, SettingState } from "../api/types.gen";
import {
  addRule,
  changeCount,
  EMPTY,
  faultsByField,
  moveRule,
  planOf,
  rebased,
  removeRule,
  restoreRule,
  rulesOf,
  setExtra,
  setList,
  setRule,
  setSetting,
  valueNow,
  type Draft,
} from "./draft";
import { capital } from "../words";

const row = (setting: string, path: (string | number)[], value: unknown, changes: Partial<SettingState> = {}) => ({
  setting,
  path,
  value,
  written: value === null ? null : String(value as string | number),
  plain: null,
  source: "file" as const,
  line: 1,
  variables: [],
  editable: true,
  why_not: "",
  ...changes,
});

function file(rules: readonly string[], settings: readonly SettingState[] = [], etag = "one"): FileState {
  return {
    file: "q.yaml",
    exists: true,
    etag,
    writable: true,
    why_not: "",
    rules: [...rules],
    settings: [
      ...rules.flatMap((id, index) => [
        row(`trackers[${index}].id`, ["trackers", id, "id"], id),
        row(`trackers[${index}].name`, ["trackers", id, "name"], "", { source: "default", written: null }),
        row(`trackers[${index}].pattern`, ["trackers", id, "pattern"], `${id}\\.org`, { written: `'${id}\\.org'` }),
        row(`trackers[${index}].max_upload_speed`, ["trackers", id, "max_upload_speed"], 1e6, { written: "1 MB/s" }),
        row(`trackers[${index}].priority`, ["trackers", id, "priority"], 1, { source: "default", written: null }),
      ]),
      ...settings,
    ],
    faults: [],
    notes: [],
    undo: { possible: false, versions: 0, saved_at: null, why_not: "" },
  };
}

const help = (setting: string, type: SettingHelp["type"], changes: Partial<SettingHelp> = {}): SettingHelp => ({
  setting,
  path: setting.split("."),
  section: setting.split(".")[0] ?? "",
  help: "",
  type,
  also: null,
  unit: "",
  default: null,
  default_text: "",
  choices: [],
  min: null,
  max: null,
  secret: false,
  required: false,
  restart: false,
  editable: true,
  why_not: "",
  ...changes,
});

/** Edits in short: `move c before a`. */
const told = (draft: Draft, on: FileState) =>
  planOf(draft, on).edits.map(({ op, path, value, before }) => {
    const id = op === "insert" ? (value as { id: string }).id : path.slice(1).join(".");
    return op === "set" ? `set ${id} ${value as string}` : `${op} ${id}${before === null ? "" : ` before ${before}`}`;
  });
const order = (draft: Draft, on: FileState) => rulesOf(draft, on).map((rule) => rule.key);
const ABC = file(["a", "b", "c", "all"]);

describe("rules", () => {
  it("are moved by the fewest edits, and the catch-all stays last", () => {
    expect(told(moveRule(EMPTY, ABC, "c", 0), ABC)).toEqual(["move c before a"]);
    expect(told(moveRule(EMPTY, ABC, "a", 2), ABC)).toEqual(["move a before all"]);
    expect(order(moveRule(EMPTY, ABC, "a", 99), ABC)).toEqual(["b", "c", "a", "all"]);
    expect(moveRule(EMPTY, ABC, "all", 0)).toBe(EMPTY);
  });

  it("that are back where they were are no change", () => {
    const moved = moveRule(EMPTY, ABC, "c", 0);
    expect(moveRule(moved, ABC, "c", 2)).toEqual(EMPTY);
    expect(changeCount(moved, ABC)).toBe(1);
  });

  it("any order comes about by the edits made in turn", () => {
    const keys = ["a", "b", "c", "d", "e"];
    const on = file([...keys, "all"]);
    let seed = 7;
    for (let turn = 0; turn < 60; turn++) {
      let draft = EMPTY;
      for (let step = 0; step < 5; step++) {
        seed = (seed * 1103515245 + 12345) % 2147483648;
        draft = moveRule(draft, on, keys[seed % 5] ?? "a", (seed >> 8) % 5);
        if (seed % 7 === 0) draft = addRule(draft, { id: `n${step}`, pattern: "x" });
      }
      const rules = [...on.rules];
      for (const { op, path, value, before } of planOf(draft, on).edits) {
        const id = op === "insert" ? (value as { id: string }).id : String(path[1]);
        if (op === "move") rules.splice(rules.indexOf(id), 1);
        rules.splice(rules.indexOf(String(before)), 0, id);
      }
      expect(rules).toEqual(rulesOf(draft, on).map((rule) => rule.id));
    }
  });

  it("are inserted with what was typed, before the catch-all", () => {
    const draft = addRule(EMPTY, { name: "My Tracker", pattern: "//x\\b", max_upload_speed: "2 MB/s" });
    expect(planOf(draft, ABC).edits).toEqual([
      {
        op: "insert",
        path: ["trackers"],
        value: { id: "my-tracker", name: "My Tracker", pattern: "//x\\b", max_upload_speed: "2 MB/s" },
        before: "all",
      },
    ]);
    expect(removeRule(draft, "+1")).toEqual(EMPTY);
  });

  it("that are removed can be brought back, and are neither moved nor edited", () => {
    const draft = removeRule(setRule(moveRule(EMPTY, ABC, "c", 0), ABC, "c", "name", "C"), "c");
    expect(told(draft, ABC)).toEqual(["remove c"]);
    expect(told(restoreRule(draft, "c"), ABC)).toEqual(["set c.name C", "move c before a"]);
  });

  it("are renamed after all that names them by the old id", () => {
    const draft = moveRule(setRule(setRule(EMPTY, ABC, "c", "id", "z"), ABC, "c", "pattern", "z"), ABC, "c", 0);
    expect(told(draft, ABC)).toEqual(["set c.pattern z", "move c before a", "set c.id z"]);
  });

  it("have other fields, set and removed as a whole, and inserted with the rule", () => {
    const on = file(["a", "b", "all"]);
    on.settings.push(
      row("trackers[0].schedule", ["trackers", "a", "schedule"], [{}], { plain: [{ cap: "1 MB/s" }] }),
      row("trackers[0].parent", ["trackers", "a", "parent"], "b", { written: "'b'" }),
      row("trackers[0].tags", ["trackers", "a", "tags"], ["x"], { written: "[x]" }),
    );
    expect(rulesOf(EMPTY, on)[0]?.extras).toEqual({ schedule: [{ cap: "1 MB/s" }], parent: "b", tags: ["x"] });
    let draft = setExtra(setExtra(EMPTY, on, "a", "tags", null), on, "a", "schedule", [{ cap: "2 MB/s" }]);
    expect(planOf(draft, on).edits).toMatchObject([
      { op: "remove", path: ["trackers", "a", "tags"] },
      { op: "set", path: ["trackers", "a", "schedule"], value: [{ cap: "2 MB/s" }] },
    ]);
    expect(changeCount(draft, on)).toBe(1);
    draft = setExtra(setExtra(draft, on, "a", "tags", ["x"]), on, "a", "schedule", [{ cap: "1 MB/s" }]);
    expect(draft).toEqual(EMPTY);
    const fresh = setExtra(addRule(EMPTY, { id: "new" }), on, "+1", "parent", "a");
    expect(planOf(fresh, on).edits).toMatchObject([{ op: "insert", value: { id: "new", parent: "a" } }]);
    expect(removeRule(fresh, "+1")).toEqual(EMPTY);
    expect(planOf(setRule(EMPTY, on, "b", "id", "z"), on).edits).toMatchObject([
      { op: "set", path: ["trackers", "a", "parent"], value: "z" },
      { op: "set", path: ["trackers", "b", "id"], value: "z" },
    ]);
  });

  it("typed back are no change; an emptied name is the default; an emptied cap is sent", () => {
    const draft = setRule(EMPTY, ABC, "a", "max_upload_speed", "2 MB/s");
    expect(setRule(draft, ABC, "a", "max_upload_speed", "1 MB/s")).toEqual(EMPTY);
    const named = file(["a", "all"], []);
    const cell = named.settings.find((one) => one.setting === "trackers[0].name");
    Object.assign(cell ?? {}, { value: "A", written: "A", source: "file" });
    expect(told(setRule(EMPTY, named, "a", "name", ""), named)).toEqual(["remove a.name"]);
    expect(told(setRule(EMPTY, ABC, "a", "max_upload_speed", ""), ABC)).toEqual(["set a.max_upload_speed "]);
  });
});

describe("settings", () => {
  const on = file(
    ["all"],
    [
      row("global.uplink", ["global", "uplink"], 5e6, { written: "40 Mbit/s" }),
      row("global.dry_run", ["global", "dry_run"], false, { source: "default", written: null }),
      row("auth.password", ["auth", "password"], "***"),
      row("notifications.urls", ["notifications", "urls"], ["***", "***", "***"]),
    ],
  );
  const uplink = help("global.uplink", "speed");
  const password = help("auth.password", "secret", { secret: true });

  it("are shown as they are written; emptied, the default counts again", () => {
    expect(valueNow(EMPTY, on, uplink)).toBe("40 Mbit/s");
    const emptied = setSetting(EMPTY, on, uplink, "");
    expect(planOf(emptied, on).edits).toMatchObject([{ op: "remove", path: ["global", "uplink"] }]);
    expect(setSetting(emptied, on, uplink, "40 Mbit/s")).toEqual(EMPTY);
  });

  it("switched there and back are no change", () => {
    const dryRun = help("global.dry_run", "boolean", { default: false });
    const on_ = setSetting(EMPTY, on, dryRun, true);
    expect(planOf(on_, on).edits).toMatchObject([{ op: "set", value: true }]);
    expect(setSetting(on_, on, dryRun, false)).toEqual(EMPTY);
  });

  it("a secret that nothing was typed into stays; it goes only if that is asked for", () => {
    expect(valueNow(EMPTY, on, password)).toBe("");
    expect(setSetting(setSetting(EMPTY, on, password, "new"), on, password, "")).toEqual(EMPTY);
    expect(planOf(setSetting(EMPTY, on, password, null), on).edits).toMatchObject([{ op: "remove" }]);
  });

  it("items of a secret list go from the end, so that indices hold", () => {
    const draft = setList(EMPTY, "notifications.urls", { removed: [0, 2], added: ["json://new", " "] });
    expect(planOf(draft, on).edits.map(({ op, path, value }) => [op, path.at(-1), value])).toEqual([
      ["remove", 2, null],
      ["remove", 0, null],
      ["insert", "urls", "json://new"],
    ]);
    expect(changeCount(draft, on)).toBe(1);
  });
});

it("begins a sentence of the server with a capital, but not a name", () => {
  expect(capital("must be a number")).toBe("Must be a number");
  expect(capital("'x' is not a speed")).toBe("'x' is not a speed");
  expect(capital("qBittorrent refuses the login")).toBe("qBittorrent refuses the login");
  expect(capital("cross-seed is away")).toBe("cross-seed is away");
  expect(capital("")).toBe("");
});

it("faults stand at the field of the page that they belong to", () => {
  let draft = addRule(EMPTY, { id: "new", pattern: "(" });
  draft = setRule(setRule(draft, ABC, "a", "max_upload_speed", "5"), ABC, "b", "id", "z");
  const fault = (edit: number | null, path: (string | number)[], reason: string): EditFault => ({
    edit,
    path,
    setting: path.join("."),
    reason,
    hint: "",
    line: null,
  });
  const plan = planOf(draft, ABC);
  const faults = [
    fault(0, ["trackers", "a", "max_upload_speed"], "no unit"),
    fault(plan.fields.indexOf("rule/+1"), ["trackers", "new", "pattern"], "no expression"),
    fault(null, ["trackers", "z", "pattern"], "of a renamed one"),
    fault(null, ["notifications", "urls", 0], "of a list"),
    fault(null, [], "of the file"),
  ];
  expect(Object.fromEntries(faultsByField(faults, plan, rulesOf(draft, ABC)))).toEqual({
    "rule/a/max_upload_speed": "no unit",
    "rule/+1/pattern": "no expression",
    "rule/b/pattern": "of a renamed one",
    "notifications.urls": "of a list",
    "": "of the file",
  });
});

describe("a file that somebody else changed", () => {
  const uplink = (value: number) => row("global.uplink", ["global", "uplink"], value, { written: `${value} B/s` });

  it("keeps what was typed, and says what changed on both sides", () => {
    const before = file(["a", "b", "all"], [uplink(1)]);
    const after = file(["b", "a", "d", "all"], [uplink(2)], "two");
    let draft = setSetting(EMPTY, before, help("global.uplink", "speed"), "3 MB/s");
    draft = setRule(draft, before, "a", "max_upload_speed", "2 MB/s");
    draft = addRule(draft, { id: "new", pattern: "n" });
    const found = rebased(draft, before, after);
    expect(found).toMatchObject({ lost: [], both: ["global.uplink"] });
    expect(told(found.draft, after)).toEqual([
      "set uplink 3 MB/s",
      "set a.max_upload_speed 2 MB/s",
      "insert new before all",
    ]);
  });

  it("lets go of changes to rules that went away, and of what it has already", () => {
    const before = file(["a", "b", "all"]);
    const after = file(["b", "all"], [], "two");
    const speed = after.settings.find((one) => one.setting === "trackers[0].max_upload_speed");
    Object.assign(speed ?? {}, { value: 2e6, written: "2 MB/s" });
    let draft = setRule(EMPTY, before, "a", "name", "A");
    draft = setRule(draft, before, "b", "max_upload_speed", "2 MB/s");
    draft = moveRule(draft, before, "b", 0);
    const found = rebased(draft, before, after);
    expect(found.lost).toEqual(["a"]);
    expect(planOf(found.draft, after).edits).toEqual([]);
  });
});
