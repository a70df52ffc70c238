/** A chart over time, drawn by uPlot. What it shows is also told in words (`summary`), and read out under the pointer. */

import { useEffect, useRef, useState } from "preact/hooks";
import UPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import "./chart.css";
import { axisMark, axisMarks, bytes, clock, clockSeconds, day, moment, rate } from "../units";
import { locale } from "../i18n";
import { isDark, unitSystem } from "../choices";

const DAY_S = 86400;
const AXIS_WIDTH = 62;
const HEADROOM = 1.08;

export interface ChartLine {
  readonly label: string;
  readonly kind: "area" | "line" | "dashed" | "bars";
  /** A custom property of theme.css, as `--accent`. */
  readonly color: string;
  /** Null is a hole. Bytes/s, or bytes. */
  readonly values: readonly (number | null)[];
}

interface ChartProps {
  /** Unix seconds, rising. */
  at: readonly number[];
  lines: readonly ChartLine[];
  /** What the axis shows, Unix seconds. */
  from: number;
  to: number;
  height?: number;
  /** The figures are bytes, not bytes/s. */
  amounts?: boolean;
  /** The same in a sentence. */
  summary: string;
}

export function Chart({ at, lines, from, to, height = 130, amounts = false, summary }: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<UPlot | null>(null);
  const span = useRef({ from, to });
  span.current = { from, to };
  const [pointed, setPointed] = useState<number | null>(null);
  const look = `${isDark()} ${locale.value} ${unitSystem.value} ${lines.map((line) => line.label + line.kind + line.color).join()}`;

  useEffect(() => {
    const element = place.current;
    if (!element) return;
    const style = getComputedStyle(element);
    const color = (name: string) => style.getPropertyValue(name).trim();
    const grid = { stroke: color("--border"), width: 1 };
    const axis = { stroke: color("--muted"), font: `11px ${style.fontFamily}`, grid, ticks: { show: false } };
    const made = new UPlot(
      {
        width: Math.max(element.clientWidth, 50),
        height,
        padding: [6, 18, 0, 0], // half a mark of time beyond the end
        legend: { show: false },
        cursor: { y: false, points: { size: 6 }, drag: { setScale: false, x: false, y: false } },
        scales: {
          x: { range: () => [span.current.from, span.current.to] },
          y: { range: (_, __, top) => [0, Math.max(top * HEADROOM, 1024)] },
        },
        axes: [
          {
            ...axis,
            size: 25,
            gap: 7, // below the 0 of the other axis
            space: 50,
            values: (_, marks) =>
              marks.map((mark) => (span.current.to - span.current.from > 1.5 * DAY_S ? day(mark) : clock(mark))),
          },
          {
            ...axis,
            size: AXIS_WIDTH,
            gap: 4,
            splits: (_, __, ___, top) => axisMarks(top, height < 160 ? 3 : 5),
            values: (_, marks) => marks.map((mark) => axisMark(mark, marks.at(-1) ?? 1, amounts ? "" : "/s")),
          },
        ],
        series: [
          {},
          ...lines.map((line) => ({
            label: line.label,
            stroke: color(line.color),
            width: line.kind === "area" ? 1.75 : 1.5,
            ...(line.kind === "area" ? { fill: `${color(line.color)}26` } : {}),
            ...(line.kind === "dashed" ? { dash: [5, 4] } : {}),
            points: { show: false },
            ...(line.kind === "bars"
              ? { fill: color(line.color), paths: UPlot.paths.bars?.({ size: [0.7, 40] }) }
              : {}),
            ...(line.kind === "line" || line.kind === "dashed"
              ? { paths: UPlot.paths.stepped?.({ align: -1 }) ?? null }
              : {}),
          })),
        ] as UPlot.Series[],
        hooks: { setCursor: [(self) => setPointed(self.cursor.idx ?? null)] },
      },
      [[], ...lines.map(() => [])] as UPlot.AlignedData,
      element,
    );
    plot.current = made;
    const observer = new ResizeObserver(() => {
      if (element.clientWidth > 0) made.setSize({ width: element.clientWidth, height });
    });
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = null;
    };
    // eslint-disable-next-line react-hooks/exhaustive-deps -- `look` is what the drawing depends on
  }, [look, height, amounts]);

  useEffect(() => {
    plot.current?.setData([at, ...lines.map((line) => line.values)] as unknown as UPlot.AlignedData);
  });

  const there = pointed === null ? undefined : at[pointed];
  return (
    <figure class="chart">
      <div ref={place} class="chart-plot" aria-hidden="true" style={{ height: `${height}px` }} />
      <div class="chart-legend num" aria-hidden="true">
        {lines.map((line) => {
          const value = pointed === null ? undefined : line.values[pointed];
          return (
            <span key={line.label}>
              <i class={line.kind} style={{ color: `var(${line.color})` }} />
              {line.label}
              {value !== undefined && value !== null && <b>{amounts ? bytes(value) : rate(value)}</b>}
            </span>
          );
        })}
        <span class="push">
          {there !== undefined && (amounts ? day(there) : to - from > DAY_S ? moment(there, to) : clockSeconds(there))}
        </span>
      </div>
      <figcaption class="visually-hidden">{summary}</figcaption>
    </figure>
  );
}
