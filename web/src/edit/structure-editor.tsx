/** A setting that is a mapping or a list of mappings: a schedule or a quota of the line. */

import type { SettingHelp } from "../api/types.gen";
import { t } from "../i18n";
import { Week } from "./group-editor";
import { QuotaEditor } from "./quota-editor";
import type { Value } from "./draft";
import { nameOf } from "./setting";
import { textOf } from "./selector";

interface StructureEditorProps {
  help: SettingHelp;
  value: Value;
  locked: boolean;
  fault: string;
  onValue: (value: Value) => void;
}

export default function StructureEditor({ help, value, locked, fault, onValue }: StructureEditorProps) {
  const part = { value, locked: locked ? t("edit.lockedHere") : "", fault: "", onValue };
  if (help.setting.endsWith("schedule")) {
    return <Week {...part} label={nameOf(help)} withPriority={false} />;
  }
  if (help.setting.endsWith("quota")) return <QuotaEditor {...part} />;
  return <pre aria-invalid={fault !== ""}>{textOf(value)}</pre>;
}
