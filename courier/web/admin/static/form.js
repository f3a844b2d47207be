// A form made from an event's JSON Schema: a field for each property, and the schema's errors beside them.

import { el } from "./dom.js";

const ELSEWHERE = new Set(["type", "source"]);
const LATER = new Set(["timestamp", "trace_id"]);
const LONG = new Set(["chunk", "tsdl", "details"]);

/** Fields of `schema`; `read()` gives the object that they spell, `blame(errors)` shows what is wrong with it. */
export function schemaForm(schema, onchange) {
  const required = new Set(schema.required ?? []);
  const names = Object.keys(schema.properties ?? {}).filter((name) => !ELSEWHERE.has(name));
  const ordered = [...names.filter((name) => !LATER.has(name)), ...names.filter((name) => LATER.has(name))];
  const fields = ordered.map((name) => makeField(name, withoutNull(schema.properties[name]), required.has(name), onchange));
  return {
    element: el("div", { class: "fields" }, fields.map(({ element }) => element)),
    read: () => Object.fromEntries(fields.map((field) => [field.name, field.read()]).filter(([, value]) => value !== undefined)),
    blame: (errors) => blame(fields, errors),
  };
}

/** Shows each error at its field; returns those that belong to none. */
export function blame(fields, errors) {
  const rest = [];
  for (const field of fields) field.blame("");
  for (const error of errors) {
    const field = fields.find(({ name }) => name === error.loc[0]);
    if (!field) rest.push(error);
    else field.blame(error.loc.length > 1 ? `${error.loc.slice(1).join(".")}: ${error.msg}` : error.msg);
  }
  fields.find((field) => field.input.getAttribute("aria-invalid") === "true")?.input.focus();
  return rest;
}

/** One labelled input, whatever it is for. */
export function labelled(name, word, hint, input, { whole = false, wrap = null } = {}) {
  const id = `field-${name}`;
  const wrong = el("p", { class: "wrong", id: `${id}-wrong`, hidden: true });
  input.id = id;
  input.setAttribute("aria-describedby", wrong.id);
  const element = el("div", { class: whole ? "field whole" : "field" },
    el("label", { for: id }, word, el("span", {}, hint)), wrap ?? input, wrong);
  const say = (sentence) => {
    wrong.hidden = !sentence;
    wrong.textContent = sentence;
    if (sentence) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
  };
  return { name, input, element, blame: say };
}

/** What a field takes, but for the null that means left out: the form leaves it out. */
function withoutNull(property) {
  const [only, ...more] = property.anyOf?.filter(({ type }) => type !== "null") ?? [];
  return only && more.length === 0 ? { ...only, ...property } : property;
}

function makeField(name, property, isRequired, onchange) {
  const { input, read, whole, wrap } = makeInput(name, property, isRequired);
  input.addEventListener("input", onchange);
  const field = labelled(name, name, hint(property, isRequired), input, { whole, wrap });
  return { ...field, read };
}

/** An input for a property; `read()` is undefined for what is left out. */
function makeInput(name, property, isRequired) {
  const text = () => (input.value === "" && !(isRequired && property.type === "string") ? undefined : input.value);
  let input;
  if (property.const !== undefined || property.enum) {
    const choices = property.enum ?? [property.const];
    const blank = isRequired ? [] : [el("option", { value: "" }, "(left out)")];
    input = el("select", { class: "input" }, blank, choices.map((choice) => el("option", {}, String(choice))));
    return { input, read: () => (input.value === "" ? undefined : choices[input.selectedIndex - blank.length]) };
  }
  if (property.type === "boolean") {
    input = el("input", { type: "checkbox" });
    return { input, read: () => input.checked, wrap: el("div", { class: "check" }, input, el("span", { class: "quiet" }, "yes")) };
  }
  if (property.type === "number" || property.type === "integer") {
    const least = property.minimum ?? property.exclusiveMinimum;
    input = el("input", { class: "input", type: "number", step: property.type === "integer" ? "1" : "any", inputmode: "decimal",
      min: least, max: property.maximum });
    return { input, read: () => (input.value === "" ? undefined : Number(input.value)) };
  }
  if (property.format === "date-time") {
    input = el("input", { class: "input", type: "datetime-local", step: "1" });
    return { input, read: () => (input.value === "" ? undefined : new Date(input.value).toISOString()) };
  }
  if (property.type === "string") {
    if (LONG.has(name)) {
      input = el("textarea", { class: "input", rows: "3" });
      return { input, read: text, whole: true };
    }
    input = el("input", { class: "input", type: "text", autocomplete: "off", spellcheck: "false" });
    return { input, read: text };
  }
  input = el("textarea", { class: "input", rows: "3", spellcheck: "false" }, isRequired ? "{}" : "");
  return { input, whole: true, read: () => {
    if (input.value.trim() === "") return undefined;
    try { return JSON.parse(input.value); } catch { return input.value; } // the schema then says what it should be
  } };
}

function hint(property, isRequired) {
  const said = [];
  if (property.type === "object") said.push("JSON");
  if (property.minimum !== undefined && property.maximum !== undefined) said.push(`${property.minimum} to ${property.maximum}`);
  else if (property.minimum !== undefined) said.push(`${property.minimum} or more`);
  else if (property.exclusiveMinimum !== undefined) said.push(`more than ${property.exclusiveMinimum}`);
  if (!isRequired) said.push("optional");
  return said.join(", ");
}
