import { render } from "preact";
import { App } from "./app";
import { follow } from "./i18n";
import "./theme.css";

const place = document.getElementById("app");
if (place) {
  void follow().finally(() => {
    place.replaceChildren();
    render(<App />, place);
  });
}
