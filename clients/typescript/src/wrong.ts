/** A TypeError in one sentence: what was expected, and what came. */
export function wrong(name: string, expected: string, value: unknown): TypeError {
  const came = typeof value === "string" ? JSON.stringify(value) : value === null ? "null" : typeof value;
  return new TypeError(`${name} must be ${expected}; got ${came}`);
}
