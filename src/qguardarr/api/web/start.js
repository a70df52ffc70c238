"use strict";
const dark = matchMedia("(prefers-color-scheme: dark)");
const paint = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", paint);
paint();
SwaggerUIBundle({
  url: document.currentScript.dataset.document,
  dom_id: "#docs",
  defaultModelsExpandDepth: -1,
  displayRequestDuration: true,
  docExpansion: "list",
  persistAuthorization: false,  // the key is kept by this page alone, and only while it is open
  tryItOutEnabled: true,
  validatorUrl: "none",
});
