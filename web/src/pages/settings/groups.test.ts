import { expect, it } from "vitest";
import type { SchemaHelp } from "../../api/types.gen";
import schema from "../../../../src/qguardarr/api/settings.json";
import { groupsOf, matching } from "./groups";

const known = schema as unknown as SchemaHelp;

it("every setting but those of lists stands in one group, and none is left over", () => {
  const groups = groupsOf(known);
  const names = groups.flatMap((group) => group.settings.map((help) => help.setting));
  const wanted = known.settings.map((help) => help.setting).filter((name) => !/^(trackers|qbittorrents)\b/.test(name));
  expect([...names].sort()).toEqual([...wanted].sort());
  expect(groups.map((group) => group.name)).not.toContain("other");
  expect(groups[0]?.settings[0]?.setting).toBe("global.dry_run");
});

it("a search finds words of names and of help", () => {
  const names = (words: string) =>
    matching(groupsOf(known), words, () => true).flatMap((group) => group.settings.map((help) => help.setting));
  expect(names("dry run")).toContain("global.dry_run");
  expect(names("DRY_RUN")).toContain("global.dry_run");
  expect(names("no-such-word")).toEqual([]);
  expect(matching(groupsOf(known), "", (name) => name === "global.port").length).toBe(1);
});
