import { defineConfig } from "vite";

export default defineConfig({
  // The client is a link to its folder, which has a React of its own for its tests.
  resolve: { dedupe: ["react"] },
  build: {
    rollupOptions: {
      // The hooks bear "use client", for frameworks that render on a server; it says nothing to a page.
      onwarn: (warning, warn) => warning.code !== "MODULE_LEVEL_DIRECTIVE" && warn(warning),
    },
  },
});
