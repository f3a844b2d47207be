import type { ReactNode } from "react";

/** The page before there is a desk to show. */
export function Lobby({ children }: { children: ReactNode }) {
  return (
    <main className="lobby">
      <img src="/icon.svg" alt="" width="48" height="48" />
      <h1>Lumière</h1>
      {children}
    </main>
  );
}
