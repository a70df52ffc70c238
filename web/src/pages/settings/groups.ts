/** How the settings page divides the schema. Settings that the page does not know of stand in the last group of theirs. */

import type { SchemaHelp, SettingHelp } from "../../api/types.gen";

/** The section `global` in parts. */
const PARTS = {
  mode: ["dry_run", "rollout_percentage", "update_interval"],
  sharing: [
    "allocation_strategy",
    "match_mode",
    "uplink",
    "uplink_schedule",
    "uplink_quota",
    "timezone",
    "borrow_threshold_ratio",
    "max_borrow_fraction",
  ],
  limits: ["idle_limit", "auto_unlimit_on_inactive", "respect_manual_limits", "foreign_limits", "max_managed_torrents"],
  api: ["host", "port"],
} as const;
const SECTIONS = ["qbittorrent", "auth", "http", "notifications", "cross_seed", "rollback", "logging"] as const;
type Name = keyof typeof PARTS | (typeof SECTIONS)[number] | "tuning" | "other";
const ORDER: readonly Name[] = [
  "mode",
  "qbittorrent",
  "sharing",
  "limits",
  "notifications",
  "auth",
  "api",
  "http",
  "cross_seed",
  "rollback",
  "logging",
  "tuning",
  "other",
];

export interface Group {
  readonly name: Name;
  readonly help: string;
  readonly settings: readonly SettingHelp[];
}

function groupOf(help: SettingHelp): Name {
  const key = help.path.at(-1) ?? "";
  if (help.section === "global") {
    const parts = Object.entries(PARTS) as [Name, readonly string[]][];
    return parts.find(([, keys]) => keys.includes(key))?.[0] ?? "tuning";
  }
  return SECTIONS.find((name) => name === help.section) ?? "other";
}

/** Lists of entries: rules have a page of their own, and several qBittorrents are written into the file. */
const LISTS: readonly string[] = ["trackers", "qbittorrents"];

/** All settings that stand by themselves. */
export function groupsOf(schema: SchemaHelp): Group[] {
  const settings = schema.settings.filter((help) => !LISTS.includes(help.section));
  return ORDER.map((name) => {
    const own = settings.filter((help) => groupOf(help) === name);
    const keys: readonly string[] = name in PARTS ? PARTS[name as keyof typeof PARTS] : [];
    const place = (help: SettingHelp) => keys.indexOf(help.path.at(-1) ?? "");
    own.sort((one, other) => place(one) - place(other));
    return { name, help: schema.sections.find((section) => section.name === name)?.help ?? "", settings: own };
  }).filter((group) => group.settings.length > 0);
}

/** Settings whose name or help has all of these words. */
export function matching(groups: readonly Group[], words: string, keep: (name: string) => boolean): Group[] {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  return groups
    .map((group) => ({
      ...group,
      settings: group.settings.filter((help) => {
        const text = `${help.setting} ${help.setting.replaceAll("_", " ")} ${help.help}`.toLowerCase();
        return keep(help.setting) && wanted.every((word) => text.includes(word));
      }),
    }))
    .filter((group) => group.settings.length > 0);
}
