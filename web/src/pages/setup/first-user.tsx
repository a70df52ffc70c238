/** On a first run nobody can log in: make the first user, then log in with it. */

import { ApiError, getSetup, logIn, makeUser } from "../../api/client";
import { t } from "../../i18n";
import { go } from "../../routes";
import { UserForm } from "./user-form";

const TRIES = 20;
const PAUSE_MS = 500;

/** The API restarts to take the user up. */
async function untilKnown(): Promise<void> {
  for (let left = TRIES; left > 0; left--) {
    try {
      if ((await getSetup()).user) return;
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 0) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}

export function FirstUser({ keyWhy }: { keyWhy: string }) {
  return (
    <>
      <p>{t("setup.first")}</p>
      <UserForm
        keyWhy={keyWhy}
        onUser={async (name, password, key) => {
          try {
            const made = await makeUser(name, password, key);
            if (!made.in_effect) throw new Error(made.problem);
          } catch (error) {
            // A restart may take the answer along: then the user is there.
            if (!(error instanceof ApiError) || error.status !== 0) throw error;
          }
          await untilKnown();
          await logInOnce(name, password);
          go("setup");
        }}
      />
    </>
  );
}

async function logInOnce(username: string, password: string): Promise<void> {
  for (let left = TRIES; ; left--) {
    try {
      return await logIn({ username, password });
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 0 || left === 0) throw error;
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
}
