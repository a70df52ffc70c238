import { expect, it } from "vitest";
import { stepNow } from "./steps";

it("the first step that is not done is next", () => {
  const none = { user: false, connection: false, caps: false, go: false };
  expect(stepNow(none, false)).toBe("user");
  expect(stepNow(none, true)).toBe("connection");
  expect(stepNow({ ...none, user: true, connection: true }, false)).toBe("caps");
  expect(stepNow({ user: true, connection: false, caps: true, go: false }, false)).toBe("connection");
  expect(stepNow({ user: true, connection: true, caps: true, go: true }, false)).toBe("go");
});
