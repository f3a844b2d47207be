import { USERS, type User } from "./users";

const KEY = "user";

/** What the sign-in gives a user. */
export interface Pass {
  readonly token: string;
  /** Courier's address. */
  readonly courier: string;
}

/** Rejects when the sign-in cannot be reached. */
export async function getPass(user: User): Promise<Pass> {
  const answer = await fetch(`/token?user=${user.id}`);
  if (!answer.ok) throw new Error(`The sign-in answered ${answer.status}`);
  return (await answer.json()) as Pass;
}

/** Who is signed in, in this tab, also when the page is loaded again. */
export function rememberedUser(): User | undefined {
  return USERS.find((user) => user.id === sessionStorage.getItem(KEY));
}

export function remember(user: User): void {
  sessionStorage.setItem(KEY, user.id);
}

export function forget(): void {
  sessionStorage.removeItem(KEY);
}
