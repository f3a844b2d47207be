"""Every piece of Python and TypeScript in the documents is one that works."""

import ast
import json
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest

from courier import schemas
from tests.docs.snippets import Snippet, snippets
from tests.test_docs import ROOT

TYPESCRIPT = ROOT / "clients" / "typescript"


@pytest.mark.parametrize("snippet", snippets("python"), ids=lambda snippet: snippet.name)
def test_each_block_of_python_compiles_and_its_definitions_run(snippet: Snippet) -> None:
    """What waits or needs a node is compiled only; the clients' tests run those programs whole."""
    tree = ast.parse(snippet.text)
    compile(tree, snippet.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    kept = ast.ImportFrom | ast.Import | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.Assign
    body = [node for node in tree.body if isinstance(node, kept) and not _waits(node)]
    module = types.ModuleType(f"snippet_{abs(hash(snippet.name))}")
    sys.modules[module.__name__] = module
    module.__dict__.update(_given(tree))
    try:
        exec(compile(ast.Module([*body], []), snippet.name, "exec"), module.__dict__)
    finally:
        del sys.modules[module.__name__]


def _waits(node: ast.AST) -> bool:
    inside = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return not isinstance(node, inside) and any(isinstance(each, ast.Await) for each in ast.walk(node))


def _given(tree: ast.Module) -> dict[str, object]:
    """What a piece of a program takes from the pieces before it."""
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return {each: getattr(schemas, each) for each in names if hasattr(schemas, each)}


PRELUDE = """
declare function draw(progress: number): void;
declare function store(event: unknown): Promise<void>;
declare function reload(gap: unknown): void;
declare function show(event: unknown): void;
declare function announce(event: unknown): void;
declare const kept: string | undefined;
declare function getToken(): Promise<string>;
declare const url: string, channel: "user.alice", token: string, user: { id: string };
declare const client: import("@courier/client").CourierClient;
declare const connection: import("@courier/client").CourierConnection;
declare function showAll(state: unknown): void;
declare function showOne(event: unknown): void;
"""


def test_each_block_of_typescript_is_of_the_types_that_it_names(tmp_path: Path) -> None:
    compiler = TYPESCRIPT / "node_modules" / ".bin" / "tsc"
    if not compiler.exists():
        pytest.fail(f"{compiler} is missing: make test installs it", pytrace=False)
    blocks = snippets("ts", "tsx", "typescript")
    assert len(blocks) > 7
    index = (TYPESCRIPT / "src" / "index.ts").read_text(encoding="utf-8")
    exported = set(
        re.findall(r"\b([A-Za-z]+)\b", " ".join(re.findall(r"^export \{([^}]*)\}", index, re.MULTILINE)))
    )
    exported -= {"type"}
    shutil.copy(TYPESCRIPT / "src" / "events.ts", tmp_path / "courier.ts")
    (tmp_path / "events.ts").write_text(
        'export type { AnyEvent as DeliveredEvent, AnyChannel as Channel } from "@courier/client";', "utf-8"
    )
    for number, block in enumerate(blocks):
        declared = "\n".join(
            line
            for line in PRELUDE.splitlines()
            for word in re.findall(r"^declare (?:function|const) (\w+)", line)
            if not re.search(rf"\b(?:const|let|function) {word}\b", block.text)
        )
        missing = [each for each in exported if re.search(rf"\b{each}\b", block.text)]
        missing = [each for each in missing if not re.search(rf"import [^;]*\b{each}\b", block.text)]
        imports = f'import {{ {", ".join(missing)} }} from "@courier/client";\n' if missing else ""
        if "declare module" in block.text:
            continue  # it replaces the types of all: clients/typescript/tests/package.test.ts tries it alone
        ending = "tsx" if block.language == "tsx" else "ts"
        text = f"{imports}{declared}\n// {block.name}\n{block.text}\nexport {{}};\n"
        (tmp_path / f"block_{number}.{ending}").write_text(text, encoding="utf-8")
    config = json.loads((TYPESCRIPT / "tsconfig.json").read_text(encoding="utf-8"))["compilerOptions"]
    config |= {
        "noUnusedLocals": False,
        "typeRoots": [str(TYPESCRIPT / "node_modules" / "@types")],
        "paths": {
            "@courier/client": [str(TYPESCRIPT / "src" / "index.ts")],
            "@courier/client/react": [str(TYPESCRIPT / "src" / "react.ts")],
            "*": [str(TYPESCRIPT / "node_modules" / folder / "*") for folder in ("@types", ".")],
        },
    }
    (tmp_path / "tsconfig.json").write_text(json.dumps({"compilerOptions": config, "include": ["*.ts*"]}))
    done = subprocess.run([compiler, "-p", tmp_path], capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stdout
