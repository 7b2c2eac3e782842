import js from "@eslint/js";
import tseslint from "typescript-eslint";

const worldOnly = "Take time and randomness from World (lib/core/world.ts), so that the simulator can own them.";

export default tseslint.config(
  { ignores: ["dist/", "**/gen/", "node_modules/", "scripts/*.cjs", "eslint.config.js"] },
  js.configs.recommended,
  tseslint.configs.strictTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      "@typescript-eslint/no-floating-promises": [
        "error",
        {
          ignoreVoid: false,
          allowForKnownSafeCalls: [
            { from: "package", name: ["test", "suite", "describe", "it"], package: "node:test" },
          ],
        },
      ],
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true, allowBoolean: true }],
      "@typescript-eslint/no-confusing-void-expression": "off",
      "@typescript-eslint/no-non-null-assertion": "off",
      "@typescript-eslint/require-await": "off",
      "no-empty": "error",
      eqeqeq: "error",
    },
  },
  {
    files: ["crdt/**", "eventing/**", "lib/**"],
    ignores: ["lib/core/world.ts", "**/*.test.ts"],
    rules: {
      "no-restricted-globals": [
        "error",
        ...["setTimeout", "setInterval", "clearTimeout", "clearInterval"].map((name) => ({ name, message: worldOnly })),
      ],
      "no-restricted-properties": [
        "error",
        { object: "Date", property: "now", message: worldOnly },
        { object: "Math", property: "random", message: worldOnly },
        { object: "performance", property: "now", message: worldOnly },
      ],
    },
  },
);
