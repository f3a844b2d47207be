/** What docs/coming-from-the-sketches.md says of TypeScript compiles, against the built package. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const PAGE = readFileSync(join(ROOT, "../../docs/coming-from-the-sketches.md"), "utf8");
const SECTION = PAGE.slice(PAGE.indexOf("## TypeScript"), PAGE.indexOf("## Settings"));

/** Each snippet: code as it is, or as it is after a diff. */
const SNIPPETS = [...SECTION.matchAll(/^```(ts|diff)\n([^]*?)^```$/gm)].map(([, language, text]) =>
  language === "ts" ? text! : text!.replace(/^-.*\n/gm, "").replace(/^[+ ]/gm, ""),
);

/** What a snippet takes from the program round it. */
const AROUND = `
declare global {
  const url: string, channel: string, userId: string, token: string;
  const CourierClient: typeof import("@courier/client").CourierClient;
  const getToken: () => Promise<string>;
  const client: import("@courier/client").CourierClient;
  const show: (text: string) => void, reload: () => void;
  const useState: typeof import("react").useState;
  const Progress: (props: { userId: string }) => import("react").ReactNode;
}
export {};
`;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(ROOT, "tests/sketches-")); // below the package, whose own name leads to its build
});
afterAll(() => rmSync(folder, { recursive: true }));

test("each snippet compiles, and the page has as many as it says", () => {
  expect(SNIPPETS).toHaveLength(7);
  writeFileSync(join(folder, "around.d.ts"), AROUND);
  for (const [place, snippet] of SNIPPETS.entries())
    writeFileSync(join(folder, `snippet${place}.tsx`), `${snippet}\nexport {};\n`);
  const options = { noUnusedLocals: false, types: [] };
  const config = { extends: "../../tsconfig.json", compilerOptions: options, include: ["."], exclude: [] };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
  const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
  const { status, stdout } = spawnSync("node", [tsc, "--project", folder], { encoding: "utf8" });
  expect({ status, stdout }).toEqual({ status: 0, stdout: "" });
});

test("what a sketch did and Courier does not is an error that the compiler finds", () => {
  const before = SECTION.slice(SECTION.indexOf("### React"));
  const [, diff] = /^```diff\n([^]*?)^```$/m.exec(before)!;
  const sketch = diff!.replace(/^\+.*\n/gm, "").replace(/^[- ]/gm, "");
  const imports = `import { useCourier } from "@courier/client/react"; import { useEffect } from "react";\n`;
  writeFileSync(join(folder, "snippet0.tsx"), `${imports}${sketch}\nexport {};\n`);
  const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
  const { stdout } = spawnSync("node", [tsc, "--project", folder], { encoding: "utf8" });
  expect(stdout).toMatch(/Property 'isConnected' does not exist on type 'Subscription'/);
});
