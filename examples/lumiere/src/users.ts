export interface User {
  readonly id: string;
  readonly name: string;
}

export const USERS: readonly User[] = [
  { id: "ada", name: "Ada Lovelace" },
  { id: "blaise", name: "Blaise Pascal" },
];
