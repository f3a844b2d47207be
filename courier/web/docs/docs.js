// Renders the node's own documents. All text goes in as text, never as markup.

const [openapi, asyncapi] = await Promise.all(
  ["/openapi.json", "/asyncapi.json"].map(async (path) => (await fetch(path)).json()),
);
const main = document.getElementById("main");
const contents = document.getElementById("contents");

function el(name, options = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(options)) {
    if (key === "class") element.className = value;
    else if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

// Text in which `…` is code.
function prose(text) {
  const parts = String(text ?? "").split("`");
  return parts.map((part, place) => (place % 2 ? el("code", {}, part) : part));
}

function paragraphs(text) {
  return String(text ?? "").split("\n\n").filter(Boolean).map((part) => el("p", {}, ...prose(part)));
}

function resolve(document, value) {
  let found = value;
  while (found?.$ref) {
    const { $ref, ...beside } = found;
    const target = $ref.slice(2).split("/").map((key) => key.replaceAll("~1", "/").replaceAll("~0", "~"));
    found = { ...target.reduce((at, key) => at[key], document), ...beside };
  }
  return found ?? {};
}

function typeName(document, value) {
  const named = value?.$ref?.split("/").at(-1);
  const schema = resolve(document, value);
  if ("const" in schema) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((each) => JSON.stringify(each)).join(" | ");
  const options = schema.oneOf ?? schema.anyOf;
  if (options && options.length > 4) return named ?? "one of many";
  if (options) return options.map((each) => typeName(document, each)).join(" | ");
  if (schema.type === "array") return `list of ${typeName(document, schema.items ?? {})}`;
  if (schema.type === "object" && named) return named;
  if (Array.isArray(schema.type)) return schema.type.join(" | ");
  return schema.type ?? named ?? "any JSON";
}

function rules(document, value) {
  const schema = resolve(document, value);
  const told = [];
  const range = (low, high, unit) => {
    if (low !== undefined && high !== undefined) told.push(`${low} to ${high}${unit}`);
    else if (low !== undefined) told.push(`at least ${low}${unit}`);
    else if (high !== undefined) told.push(`at most ${high}${unit}`);
  };
  range(schema.minimum, schema.maximum, "");
  if (schema.exclusiveMinimum !== undefined) told.push(`more than ${schema.exclusiveMinimum}`);
  if (schema.exclusiveMaximum !== undefined) told.push(`less than ${schema.exclusiveMaximum}`);
  range(schema.minLength, schema.maxLength, " characters");
  range(schema.minItems, schema.maxItems, " items");
  if (schema.format) told.push(schema.format === "date-time" ? "ISO 8601, with zone" : schema.format);
  if (schema.pattern) told.push(schema.pattern);
  if (schema.default !== undefined) told.push(`default ${JSON.stringify(schema.default)}`);
  return told.join(", ");
}

function table(heads, rows, name = "") {
  const row = (kind, cells) => el("tr", {}, ...cells.map((cell) => el(kind, {}, ...[cell].flat())));
  return el("div", { class: "scroll" }, el("table", { class: name },
    el("thead", {}, row("th", heads)), el("tbody", {}, ...rows.map((cells) => row("td", cells)))));
}

function fieldRow(document, name, schema, needed, about) {
  const rule = rules(document, schema);
  return [
    [name, needed ? el("span", { class: "needed", title: "required" }, " *") : ""],
    [el("span", { class: "type" }, typeName(document, schema)), rule && el("div", { class: "rule" }, rule)].filter(Boolean),
    prose(about ?? resolve(document, schema).description),
  ];
}

function fields(document, value) {
  const schema = resolve(document, value);
  if (!schema.properties) return null;
  const rows = Object.entries(schema.properties).map(([name, field]) =>
    fieldRow(document, name, field, schema.required?.includes(name)));
  return table(["field", "type", "meaning"], rows, "fields");
}

function sample(text) {
  const button = el("button", {
    type: "button",
    onclick: async () => {
      // Without TLS, and not on this machine, a page has no clipboard.
      if (navigator.clipboard) await navigator.clipboard.writeText(text);
      else getSelection().selectAllChildren(button.previousSibling);
      button.textContent = navigator.clipboard ? "Copied" : "Selected";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    },
  }, "Copy");
  return el("div", { class: "sample" }, el("pre", { tabindex: "0" }, text), button);
}

const shown = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));

// One of several examples, chosen by name; `render` makes what is shown of it.
function examples(named, render) {
  const entries = Object.entries(named ?? {});
  if (!entries.length) return [];
  const place = el("div", {}, render(entries[0][1].value));
  if (entries.length === 1) return [place];
  const choice = el("select", {
    "aria-label": "Example",
    onchange: () => place.replaceChildren(render(named[choice.value].value)),
  }, ...entries.map(([name]) => el("option", { value: name }, name.includes(".") ? name : name.replaceAll("_", " "))));
  return [choice, place];
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function curl(method, path, operation, type, body) {
  let url = location.origin + path;
  const query = [];
  const lines = [];
  for (const parameter of operation.parameters ?? []) {
    if (parameter.in === "path") url = url.replace(`{${parameter.name}}`, parameter.example);
    if (parameter.in === "query") query.push(`${parameter.name}=${encodeURIComponent(parameter.example)}`);
    if (parameter.in === "header" && parameter.required) lines.push(`-H ${quoted(`${parameter.name}: ${parameter.example}`)}`);
  }
  if (operation.security?.some((each) => Object.keys(each).length)) lines.push('-H "Authorization: Bearer $COURIER_TOKEN"');
  if (type) lines.push(`-H ${quoted(`Content-Type: ${type}`)}`, `--data-binary ${quoted(shown(body))}`);
  if (query.length) url += `?${query.join("&")}`;
  return [`curl ${method === "post" ? "-X POST " : ""}${quoted(url)}`, ...lines].join(" \\\n     ");
}

function request(method, path, operation) {
  const content = Object.entries(operation.requestBody?.content ?? {});
  if (!content.length) return [el("h4", {}, "Request"), sample(curl(method, path, operation))];
  return content.flatMap(([type, said]) => [
    el("h4", {}, `Request: ${type}`),
    ...examples(said.examples, (body) => sample(curl(method, path, operation, type, body))),
  ]);
}

function response(status, value) {
  const said = resolve(openapi, value);
  const headers = Object.entries(said.headers ?? {}).map(([name, header]) => {
    const found = resolve(openapi, header);
    return [name, prose(found.description)];
  });
  const bodies = Object.entries(said.content ?? {}).flatMap(([, body]) => [
    ...examples(body.examples, (each) => sample(shown(each))),
    fields(openapi, body.schema),
  ]);
  return el("details", {},
    el("summary", {}, el("b", { class: `s${status[0]}` }, status), " ", ...prose(said.description)),
    ...bodies, headers.length ? table(["header", ""], headers) : null);
}

function section(id, title, about) {
  contents.append(el("b", {}, title));
  main.append(el("h2", { id }, title), ...paragraphs(about));
}

function entry(id, label, heading, ...children) {
  const link = el("a", { href: `#${id}` }, label);
  const article = el("article", { id }, el("h3", {}, el("a", { href: `#${id}` }, ...heading)), ...children);
  article.link = link;
  article.words = `${label} ${article.querySelector("p")?.textContent ?? ""}`.toLowerCase();
  contents.append(link);
  main.append(article);
}

function operations(tag) {
  for (const [path, methods] of Object.entries(openapi.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      if (!operation.tags?.includes(tag.name)) continue;
      const parameters = (operation.parameters ?? []).map((each) =>
        fieldRow(openapi, each.name, each.schema, each.required, `${each.description ?? ""} In the ${each.in}.`));
      entry(operation.operationId, path,
        [el("span", { class: `method ${method}` }, method.toUpperCase()), " ", path],
        el("p", {}, ...prose(operation.summary)), ...paragraphs(operation.description),
        parameters.length ? table(["parameter", "type", "meaning"], parameters, "fields") : null,
        ...request(method, path, operation),
        el("h4", {}, "Answers"), ...Object.entries(operation.responses).map(([status, value]) => response(status, value)));
    }
  }
}

function message(name) {
  const said = asyncapi.components.messages[name];
  entry(`message-${said.name}`, said.name, [said.name],
    el("p", {}, ...prose(said.summary)), fields(asyncapi, said.payload),
    ...(said.examples ?? []).map((each) => sample(shown(each.payload))));
}

main.replaceChildren();
document.getElementById("version").textContent = openapi.info.version;
main.append(el("h2", { id: "about" }, "Courier"), ...paragraphs(openapi.info.description));
main.append(el("p", {}, "Documents: ", ...["/openapi.json", "/asyncapi.json", "/schemas"].flatMap((path) =>
  [el("a", { href: path }, path), " "])));
for (const tag of openapi.tags) {
  section(`tag-${tag.name}`, tag.name, tag.description);
  operations(tag);
}
section("subscribe", "Subscribe", asyncapi.info.description);
for (const [key, channel] of Object.entries(asyncapi.channels)) {
  entry(`channel-${key}`, channel.address, [el("span", { class: "method" }, "WS"), " ", channel.address],
    el("p", {}, ...prose(channel.description)), fields(asyncapi, channel.bindings.ws.query),
    fields(asyncapi, channel.bindings.ws.headers));
}
const names = Object.keys(asyncapi.components.messages);
const own = (name) => /^courier\.|^p[io]ng$/.test(asyncapi.components.messages[name].name);
section("events", "Events", "As subscribers get them. A service publishes the same without `id` and `channel`; `timestamp` may then be left out, and so may what has a default.");
names.filter((name) => !own(name)).forEach(message);
section("messages", "Courier's own messages", "With the subprotocol `courier.v1`; gaps and the heartbeat come to everybody.");
names.filter(own).forEach(message);
section("closes", "Close codes", "Several reasons share 1008, so look at the reason too.");
main.append(el("article", {}, table(["code", "reason", "come back?"],
  asyncapi["x-close-codes"].map((each) => [String(each.code), each.reason, each.comeBack]))));

document.getElementById("find").addEventListener("input", ({ target }) => {
  const wanted = target.value.trim().toLowerCase();
  for (const article of main.querySelectorAll("article[id]")) {
    article.hidden = article.link.hidden = !article.words.includes(wanted);
  }
});
if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
