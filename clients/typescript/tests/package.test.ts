/** What is published: its size, its files, and whether an empty project can use it. `npm run build` comes first. */
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, gzipSync } from "node:zlib";

import { rolldown, type OutputChunk } from "rolldown";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const README = readFileSync(join(ROOT, "README.md"), "utf8");

let project: string;
beforeAll(() => {
  project = mkdtempSync(join(tmpdir(), "courier-client-"));
});
afterAll(() => rmSync(project, { recursive: true }));

const run = (command: string, given: string[], cwd = project) =>
  execFileSync(command, given, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

/** What the README says of a file's size. */
function row(name: string, code: string): string {
  const sizes = [code.length, gzipSync(code, { level: 9 }).length, brotliCompressSync(code).length];
  return `| ${[name, ...sizes.map((bytes) => `${(bytes / 1_000).toFixed(1)} kB`)].join(" | ")} |`;
}

describe.each([
  ["CourierClient", "index.js", "`CourierClient`", 5_000],
  ["CourierConnection", "index.js", "`CourierConnection`", 5_000],
  ["*", "react.js", "`@courier/client/react`", 6_500],
])("%s of %s", (wanted, file, name, mostBytes) => {
  test("is within its budget, and as large as its README says", async () => {
    const entry = join(project, `${wanted === "*" ? "all" : wanted}.js`);
    const names = wanted === "*" ? "*" : `{ ${wanted} }`;
    writeFileSync(entry, `export ${names} from ${JSON.stringify(join(ROOT, "dist", file))};`);
    const bundle = await rolldown({ input: entry, external: ["react"] });
    const { output } = await bundle.generate({ minify: true });
    await bundle.close();
    const [{ code }, ...later] = output;
    expect(gzipSync(code, { level: 9 }).length).toBeLessThan(mostBytes);
    expect(README).toContain(row(name, code));
    for (const { code: tabs } of later as OutputChunk[])
      expect(README).toContain(row("beside, with `shareAcrossTabs`", tabs));
    expect(later).toHaveLength(wanted === "CourierClient" ? 0 : 1);
  });
});

test("the client alone brings nothing of React", () => {
  const [chunk] = /[\w-]+\.js(?=")/.exec(readFileSync(join(ROOT, "dist/index.js"), "utf8"))!;
  expect(readFileSync(join(ROOT, "dist", chunk), "utf8")).not.toMatch(/from "react"/);
});

test("the hooks say to a framework that renders on a server that they are for the browser", () => {
  expect(readFileSync(join(ROOT, "dist/react.js"), "utf8")).toMatch(/^"use client";/);
  expect(readFileSync(join(ROOT, "dist/index.js"), "utf8")).not.toContain("use client");
});

test("the package has what is built, and its documents, and nothing else", () => {
  const [{ files }] = JSON.parse(run("npm", ["pack", "--dry-run", "--json"], ROOT)) as [
    { files: { path: string }[] },
  ];
  const names = files.map(({ path }) => path.replace(/-[\w-]{8}(?=\.(js|d\.ts))/, "-HASH"));
  expect(names.filter((name) => !name.startsWith("dist/")).sort()).toEqual([
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "package.json",
  ]);
  expect(
    names.filter((name) => !/^dist\/(index|react|tabs|\w+-HASH)\.(js|js\.map|d\.ts)$/.test(name)),
  ).toHaveLength(4);
  expect(names).toEqual(
    expect.arrayContaining(["dist/index.js", "dist/index.d.ts", "dist/react.js", "dist/react.d.ts"]),
  );
});

test("the lock file names no registry, and the package needs nothing at run time", () => {
  const lock = readFileSync(join(ROOT, "package-lock.json"), "utf8");
  expect(lock).not.toContain('"resolved": "http');
  const manifest = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as Record<string, unknown>;
  expect(manifest).not.toHaveProperty("dependencies");
});

describe("installed into an empty project", () => {
  beforeAll(() => {
    const [{ filename }] = JSON.parse(
      run("npm", ["pack", "--json", "--pack-destination", project], ROOT),
    ) as [{ filename: string }];
    writeFileSync(join(project, "package.json"), '{ "type": "module" }');
    run("npm", ["install", "--offline", "--no-audit", "--no-fund", join(project, filename)]);
    mkdirSync(join(project, "node_modules/@types"));
    for (const types of ["@types/react", "csstype"])
      symlinkSync(join(ROOT, "node_modules", types), join(project, "node_modules", types));
  });

  const COMPILED = { status: 0, said: "" };
  const compile = (options: object, ...files: string[]) => {
    const strictest = {
      strict: true,
      exactOptionalPropertyTypes: true,
      isolatedModules: true,
      skipLibCheck: false,
      noEmitOnError: true,
      target: "es2022",
      types: [],
    };
    const compilerOptions = { ...strictest, ...options };
    writeFileSync(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions, files }));
    const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
    const { status, stdout, stderr } = spawnSync("node", [tsc], { cwd: project, encoding: "utf8" });
    return { status, said: stdout + stderr };
  };

  test("it works, and its types are in order, without those of a browser", () => {
    const program = `
      import { CourierClient, CLOSE_CODES, EventRouter, shareToken } from "@courier/client";
      class WebSocket { addEventListener() {} send() {} close() {} }
      const client = new CourierClient({ url: "wss://courier.example", channel: "global", token: "t1", WebSocket });
      const router = new EventRouter();
      router.on("system.announcement", (event) => event.title);
      client.onMessage(router.dispatch);
      void client.connect();
      const said: string = client.state.status + CLOSE_CODES.length + typeof shareToken;
      client.disconnect();
      export default said;
    `;
    writeFileSync(join(project, "program.ts"), program);
    expect(compile({ module: "nodenext", lib: ["es2022"] }, "program.ts")).toEqual(COMPILED);
    const said = run("node", ["-e", 'import("./program.js").then((it) => console.log(it.default))']);
    expect(said.trim()).toBe("connecting19function");
  });

  test.each(["node16", "nodenext", "bundler"])(
    "an application that imports only the hooks registers events of its own, as the README says: %s",
    (moduleResolution) => {
      const [register] = /^import type \{ Channel, DeliveredEvent \}(?:(?!```)[^])*/m.exec(README)!;
      const hooks = `
        import { useCourierEvent } from "@courier/client/react";
        export function useShipped(shipped: (order: string) => void): void {
          useCourierEvent("acme.order_shipped", (event) => shipped(event.order_id));
          // @ts-expect-error: this Courier has no such event
          useCourierEvent("backtest.progress", () => undefined);
        }
      `;
      writeFileSync(join(project, "hooks.ts"), hooks);
      writeFileSync(join(project, "register.ts"), register);
      cpSync(join(ROOT, "tests/own-events/events.ts"), join(project, "events.ts"));
      const module = moduleResolution === "bundler" ? "esnext" : moduleResolution;
      const options = { module, moduleResolution, lib: ["es2022"], noEmit: true, skipLibCheck: true };
      expect(compile(options, "hooks.ts", "register.ts")).toEqual(COMPILED);
    },
  );
});
