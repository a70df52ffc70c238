/** Boost and hush: all caps, or one, higher or lower for a while. Those in force, with their end, and a dialog. */

import { useState } from "preact/hooks";
import { boost, endOrders, getOrders, hush } from "../../api/client";
import { now, refresh, status } from "../../api/live";
import type { OrderRow } from "../../api/types.gen";
import { t } from "../../i18n";
import { useCall } from "../../ui/call";
import { Dialog } from "../../ui/dialog";
import { FormError, Segments, Select, useSubmit } from "../../ui/field";
import { Icon } from "../../ui/icon";
import { Failure } from "../../ui/notice";
import { say, sayError } from "../../ui/toasts";
import { duration, moment, percent, rate } from "../../units";
import { groupName } from "../../words";

const EVERY_MS = 15_000;
const SPANS = ["900", "3600", "14400", "43200", "86400", "604800"] as const;
const FACTORS = { hush: ["0.1", "0.25", "0.5"], boost: ["1.5", "2", "3", "5"] } as const;
/** In place of a group: all of them, and the line. */
const ALL = "*";

type Kind = OrderRow["kind"];

interface OrdersProps {
  /** Whether the dialog is open. */
  asking: boolean;
  onClose: () => void;
}

export default function Orders({ asking, onClose }: OrdersProps) {
  const changed = groups().filter((row) => row.cap_reason === "boost" || row.cap_reason === "hush").length;
  const found = useCall(getOrders, [changed], EVERY_MS);
  const after = async () => {
    found.again();
    await refresh();
  };
  const end = async (kind: Kind) => {
    try {
      await endOrders(kind);
      say(t("orders.ended"));
      await after();
    } catch (error) {
      sayError(error);
    }
  };
  const kinds = (["hush", "boost"] as const).filter((kind) => found.data?.some((row) => row.kind === kind));
  return (
    <>
      {found.error !== null && <Failure error={found.error} again={found.again} />}
      {kinds.map((kind) => (
        <div key={kind} class="notice info overview-override">
          <Icon name="clock" />
          <p>
            {found.data
              ?.filter((row) => row.kind === kind)
              .map((row) => (
                <span key={row.group}>{told(row)} </span>
              ))}
          </p>
          <button type="button" class="button small push" onClick={() => void end(kind)}>
            {t(`orders.end.${kind}`)}
          </button>
        </div>
      ))}
      {asking && <Ask onClose={onClose} onDone={after} />}
    </>
  );
}

const groups = () => [...(status.value?.parents ?? []), ...(status.value?.trackers ?? [])];

function nameOf(group: string): string {
  const row = groups().find(({ id }) => id === group);
  return group === ALL ? t("orders.all") : row ? groupName(row) : group;
}

/** `Hush of all caps and the line: to 10%, until 22:15.` */
function told(row: OrderRow): string {
  const values = { group: nameOf(row.group), time: moment(row.until, now.value) };
  return row.speed !== null
    ? t("orders.toldSpeed", { ...values, speed: rate(row.speed) })
    : t(`orders.told.${row.kind}`, { ...values, share: percent(row.factor) });
}

function Ask({ onClose, onDone }: { onClose: () => void; onDone: () => Promise<void> }) {
  const [kind, setKind] = useState<Kind>("hush");
  const [group, setGroup] = useState(ALL);
  const [factor, setFactor] = useState<string>("0.1");
  const [span, setSpan] = useState<(typeof SPANS)[number]>("3600");
  const until = moment(now.value + Number(span), now.value);
  const { submit, busy, error } = useSubmit(async () => {
    const body = { seconds: Number(span), groups: group === ALL ? [] : [group], factor: Number(factor) };
    await (kind === "hush" ? hush({ ...body, speed: null }) : boost(body));
    say(t(`orders.told.${kind}`, { group: nameOf(group), share: percent(Number(factor)), time: until }));
    onClose();
    await onDone();
  });
  return (
    <Dialog title={t("orders.title")} onClose={onClose}>
      <form class="stack" onSubmit={submit}>
        <Segments<Kind>
          label={t("orders.kind")}
          value={kind}
          options={(["hush", "boost"] as const).map((value) => ({ value, label: t(`orders.kind.${value}`) }))}
          onValue={(value) => {
            setKind(value);
            setFactor(value === "hush" ? "0.1" : "2");
          }}
        />
        <p class="muted">{t(`orders.about.${kind}`)}</p>
        <Select
          label={t("orders.of")}
          value={group}
          options={[ALL, ...groups().map(({ id }) => id)].map((value) => ({ value, label: nameOf(value) }))}
          onValue={setGroup}
        />
        <Select
          label={t("orders.factor")}
          value={factor}
          options={FACTORS[kind].map((value) => ({ value, label: percent(Number(value)) }))}
          onValue={setFactor}
        />
        <Select
          label={t("tracker.overrideFor")}
          value={span}
          options={SPANS.map((value) => ({ value, label: duration(Number(value)) }))}
          onValue={setSpan}
        />
        <p class="muted">{t("tracker.overrideUntilTime", { time: until })}</p>
        <FormError error={error} />
        <div class="actions">
          <button type="button" class="button" onClick={onClose}>
            {t("app.cancel")}
          </button>
          <button type="submit" class="button primary" aria-busy={busy}>
            {t(`orders.kind.${kind}`)}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
