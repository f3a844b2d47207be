import { useCallback, useEffect, useState } from "react";

import { Desk } from "./Desk";
import { rememberedUser, signIn, signOut, type Session } from "./session";
import { SignIn } from "./SignIn";
import type { User } from "./users";

export function App() {
  const [session, setSession] = useState<Session>();
  const [wrong, setWrong] = useState(false);

  const enter = useCallback((user: User) => {
    signIn(user).then(setSession, () => setWrong(true));
  }, []);

  useEffect(() => {
    const user = rememberedUser();
    if (user) enter(user);
  }, [enter]);

  if (!session) return <SignIn onChoose={enter} wrong={wrong} />;
  const leave = () => {
    signOut();
    setSession(undefined);
  };
  return <Desk key={session.user.id} session={session} onLeave={leave} />;
}
