/** Which step of the first run is next. */

export const STEPS = ["user", "connection", "caps", "go"] as const;
export type Step = (typeof STEPS)[number];

/** `skipped`: the person goes on without a user, with the key alone. */
export function stepNow(done: Readonly<Record<Step, boolean>>, skipped: boolean): Step {
  return STEPS.find((step) => !done[step] && !(step === "user" && skipped)) ?? "go";
}
