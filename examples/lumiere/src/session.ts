import { USERS, type User } from "./users";

const KEY = "user";

/** Who is signed in, in this tab. */
export interface Session {
  readonly user: User;
  /** Courier's address. */
  readonly courier: string;
}

interface Answer {
  readonly token: string;
  readonly courier: string;
}

async function ask(user: string): Promise<Answer> {
  const answer = await fetch(`/token?user=${user}`);
  if (!answer.ok) throw new Error(`The sign-in answered ${answer.status}`);
  return (await answer.json()) as Answer;
}

/** A token of a user; rejects when the sign-in cannot be reached. */
export async function getToken(user: User): Promise<string> {
  return (await ask(user.id)).token;
}

export async function signIn(user: User): Promise<Session> {
  const { courier } = await ask(user.id);
  sessionStorage.setItem(KEY, user.id);
  return { user, courier };
}

export function signOut(): void {
  sessionStorage.removeItem(KEY);
}

/** Who was signed in before the page was reloaded. */
export function rememberedUser(): User | undefined {
  return USERS.find((user) => user.id === sessionStorage.getItem(KEY));
}
