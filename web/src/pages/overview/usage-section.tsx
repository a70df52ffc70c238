/** What groups uploaded, by day or month: as a chart, as figures, and as a file. */

import { useState } from "preact/hooks";
import { getUsage, usageCsv } from "../../api/client";
import { now, status } from "../../api/live";
import { t } from "../../i18n";
import { Chart } from "../../ui/chart";
import { Segments, Select } from "../../ui/field";
import { useCall } from "../../ui/call";
import { Failure } from "../../ui/notice";
import { bytes } from "../../units";
import { dayText, firstDay, STEPS, stretches, type Step } from "./usage";

const EVERY_MS = 300_000;

export default function UsageSection() {
  const [group, setGroup] = useState("");
  const [step, setStep] = useState<Step>("day");
  const today = dayText(new Date(now.value * 1000));
  const query = { group, step, from: firstDay(step, new Date(now.value * 1000)) };
  const found = useCall((signal) => getUsage(query, signal), [group, step, today], EVERY_MS);
  const groups = [
    { value: "", label: t("tree.line") },
    ...[...(status.value?.parents ?? []), ...(status.value?.trackers ?? [])]
      .filter((row) => row.id !== "")
      .map((row) => ({ value: row.id, label: row.name })),
  ];
  const rows = found.data ? stretches(found.data.rows, found.data.first, found.data.last, step) : [];
  const sum = rows.reduce((all, row) => all + row.bytes, 0);
  const name = groups.find((one) => one.value === group)?.label ?? group;
  const half = (step === "day" ? 0.5 : 15) * 86400;
  return (
    <section class="card stack" aria-labelledby="overview-usage">
      <div class="page-head">
        <h2 id="overview-usage">{t("usage.title")}</h2>
        <div class="push row">
          <Select label={t("usage.group")} value={group} options={groups} onValue={setGroup} />
          <Segments<Step>
            label={t("usage.step")}
            value={step}
            options={(Object.keys(STEPS) as Step[]).map((value) => ({ value, label: t(`usage.step.${value}`) }))}
            onValue={setStep}
          />
          <a class="button" href={usageCsv(query)} download>
            {t("usage.csv")}
          </a>
        </div>
      </div>
      {found.error !== null && <Failure error={found.error} again={found.again} />}
      {rows.length > 0 && (
        <>
          <Chart
            at={rows.map((row) => row.at)}
            from={(rows[0]?.at ?? 0) - half}
            to={(rows.at(-1)?.at ?? 0) + half}
            height={160}
            amounts
            summary={t("usage.summary", { group: name, amount: bytes(sum), first: rows[0]?.start ?? "" })}
            lines={[{ label: name, kind: "bars", color: "--accent", values: rows.map((row) => row.bytes) }]}
          />
          <details>
            <summary>{t("usage.figures", { amount: bytes(sum) })}</summary>
            <div class="table-scroll" role="group" aria-labelledby="overview-usage" tabIndex={0}>
              <table class="table">
                <thead>
                  <tr>
                    <th scope="col">{t(`usage.head.${step}`)}</th>
                    <th scope="col" class="num">
                      {t("usage.uploaded")}
                    </th>
                  </tr>
                </thead>
                <tbody>
                  {[...rows].reverse().map((row) => (
                    <tr key={row.start}>
                      <th scope="row">{row.start}</th>
                      <td class="num">{bytes(row.bytes)}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          </details>
        </>
      )}
    </section>
  );
}
