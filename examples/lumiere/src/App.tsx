import { useState } from "react";

import { Desk } from "./Desk";
import { forget, remember, rememberedUser } from "./session";
import { SignIn } from "./SignIn";
import type { User } from "./users";

export function App() {
  const [user, setUser] = useState(rememberedUser);
  const enter = (chosen: User) => {
    remember(chosen);
    setUser(chosen);
  };
  const leave = () => {
    forget();
    setUser(undefined);
  };
  return user ? <Desk user={user} onLeave={leave} /> : <SignIn onChoose={enter} />;
}
