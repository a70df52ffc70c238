/** The way to held caps, step by step. What is done is told by the server, so that one can leave and come back. */

import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { getSetup, session } from "../../api/client";
import { connects } from "../../api/live";
import type { SetupSteps } from "../../api/types.gen";
import { DraftBar, Editing } from "../../edit/bar";
import { changes, file } from "../../edit/store";
import { t } from "../../i18n";
import { go, route } from "../../routes";
import { useCall } from "../../ui/call";
import { Icon } from "../../ui/icon";
import { Failure } from "../../ui/notice";
import { Page } from "../../ui/page";
import { Caps } from "./caps";
import { Connect } from "./connect";
import { Go } from "./go";
import { STEPS, stepNow, type Step } from "./steps";
import { UserStep } from "./user-step";
import "./setup.css";

const EVERY_MS = 3000;

export default function Setup() {
  const found = useCall(getSetup, [session.value.state, connects.value], EVERY_MS);
  const steps = found.data?.steps;
  return (
    <Page title={t("setup.title")}>
      <p class="setup-about">{t("setup.about")}</p>
      {found.error !== null && found.data === undefined && <Failure error={found.error} again={found.again} />}
      <Editing bar={false}>
        {found.data && steps && (
          <Steps
            hasUser={found.data.user || found.data.open}
            isOpen={found.data.open}
            steps={steps}
            again={found.again}
          />
        )}
      </Editing>
    </Page>
  );
}

interface StepsProps {
  hasUser: boolean;
  isOpen: boolean;
  steps: SetupSteps;
  again: () => void;
}

function Steps({ hasUser, isOpen, steps, again }: StepsProps) {
  const skipped = route.value.params["skip"] === "user";
  const done: Readonly<Record<Step, boolean>> = {
    user: hasUser,
    connection: steps.connection,
    caps: steps.capped > 0,
    go: steps.live,
  };
  const now = stepNow(done, skipped);
  const chosen = STEPS.find((name) => name === route.value.params["step"]);
  // A draft of caps keeps its step open, whatever the state says meanwhile.
  const open = chosen ?? now;
  const name = useFileEtag();
  useEffect(() => {
    if (chosen !== undefined && changes.peek() === 0) go("setup", skipped ? { skip: "user" } : {}, { replace: true });
    // eslint-disable-next-line react-hooks/exhaustive-deps -- after a save the next step opens by itself
  }, [name]);
  const about: Readonly<Record<Step, string>> = {
    user: isOpen ? t("setup.user.open") : hasUser ? t("setup.user.done") : t("setup.user.todo"),
    connection: steps.connection
      ? t("setup.connection.done", { version: steps.version, n: steps.torrents })
      : t("setup.connection.todo"),
    caps: steps.capped > 0 ? t("setup.caps.done", { n: steps.capped }) : t("setup.caps.todo"),
    go: steps.live ? t("setup.go.done") : t("setup.go.todo"),
  };
  const content: Readonly<Record<Step, () => ComponentChildren>> = {
    user: () => <UserStep again={again} />,
    connection: () => <Connect problem={steps.problem} again={again} />,
    caps: () => <Caps connected={steps.connection} />,
    go: () => <Go steps={steps} again={again} />,
  };
  return (
    <>
      <ol class="setup-steps">
        {STEPS.map((step, index) => (
          <li key={step} class={`card setup-step ${step === open ? "open" : ""}`} aria-current={step === now && "step"}>
            <div class="setup-head">
              <span class={`setup-mark ${done[step] ? "ok" : step === now ? "now" : ""}`}>
                {done[step] ? <Icon name="ok" /> : index + 1}
              </span>
              <div>
                <h2 id={`setup-${step}`}>
                  {t(`setup.step.${step}`)}
                  {done[step] && <span class="visually-hidden"> {t("setup.isDone")}</span>}
                </h2>
                <p class="muted">{about[step]}</p>
              </div>
              {step !== open && !(step === "go" && done.go) && (
                <button
                  type="button"
                  class="button small push"
                  aria-label={`${done[step] ? t("setup.change") : t("setup.openStep")}: ${t(`setup.step.${step}`)}`}
                  onClick={() => go("setup", { ...route.value.params, step }, { replace: true })}
                >
                  {done[step] ? t("setup.change") : t("setup.openStep")}
                </button>
              )}
              {step === open && step === "user" && !hasUser && (
                <button
                  type="button"
                  class="button quiet small push"
                  onClick={() => go("setup", { skip: "user" }, { replace: true })}
                >
                  {t("setup.skip")}
                </button>
              )}
            </div>
            {step === open && <div class="setup-body stack">{content[step]()}</div>}
          </li>
        ))}
      </ol>
      {open !== "connection" && <DraftBar onSaved={again} />}
    </>
  );
}

/** Changes with each save but not with the first reading. */
function useFileEtag(): number {
  const etag = file.value?.etag;
  const [state, setState] = useState({ etag, saves: 0 });
  if (state.etag !== etag) setState({ etag, saves: state.saves + 1 });
  return state.saves;
}
