import { defineConfig } from "tsdown";

export default defineConfig({
  entry: ["src/index.ts", "src/react.ts"],
  format: "esm",
  platform: "neutral",
  target: "es2022",
  dts: true,
  sourcemap: true,
  clean: true,
  plugins: [
    {
      // TypeScript applies an application's `declare module "@courier/client"` only where something imports that
      // module: the types of the hooks do.
      name: "hooks-import-the-client",
      generateBundle(_, bundle) {
        const types = bundle["react.d.ts"];
        if (types?.type === "chunk") types.code = `import "./index.js";\n${types.code}`;
      },
    },
  ],
});
