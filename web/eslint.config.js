import hooks from "eslint-plugin-react-hooks";
import tseslint from "typescript-eslint";

const TEXT = 'Texts stand in src/i18n/en.ts and zh.ts; write t("key")';

export default tseslint.config(
  { ignores: ["node_modules", "src/api/types.gen.ts"] },
  ...tseslint.configs.recommended,
  {
    files: ["src/**/*.{ts,tsx}"],
    extends: [...tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname ?? process.cwd() } },
    plugins: { "react-hooks": hooks },
    rules: {
      "react-hooks/rules-of-hooks": "error",
      "react-hooks/exhaustive-deps": "error",
      "@typescript-eslint/no-misused-promises": ["error", { checksVoidReturn: { attributes: false } }],
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/switch-exhaustiveness-check": "error",
      eqeqeq: "error",
    },
  },
  {
    files: ["src/**/*.tsx"],
    ignores: ["src/**/*.test.tsx"],
    rules: {
      "no-restricted-syntax": [
        "error",
        { selector: "JSXText[value=/\\p{L}/u]", message: TEXT },
        { selector: "JSXExpressionContainer > Literal[value=/\\p{L}.*\\s/u]", message: TEXT },
        {
          selector:
            "JSXAttribute[name.name=/^(aria-label|aria-description|title|placeholder|alt|label|help)$/] > Literal[value=/\\p{L}/u]",
          message: TEXT,
        },
        {
          selector: "CallExpression[callee.name='fetch'], NewExpression[callee.name='EventSource']",
          message: "Calls stand in src/api/client.ts; events come from src/api/live.ts",
        },
      ],
    },
  },
);
