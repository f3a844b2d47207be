import { defineConfig } from "vite";

export default defineConfig({
  // The client is a link to its folder, which has a React of its own for its tests.
  resolve: { dedupe: ["react"] },
});
