import { useCourier } from "@courier/client/react";

import { Avatar } from "./Avatar";
import { Connection } from "./Connection";
import { GapNotice } from "./GapNotice";
import { Refusal } from "./Refusal";
import type { User } from "./users";

interface Props {
  channel: string;
  user: User;
  onLeave: () => void;
  onReload: () => void;
}

export function Header({ channel, user, onLeave, onReload }: Props) {
  const { state, gap, connect, dismissGap } = useCourier(channel);
  return (
    <>
      <header className="top">
        <img src="/icon.svg" alt="" width="28" height="28" />
        <h1>Lumière</h1>
        <Connection state={state} onConnect={connect} />
        <span className="who">
          <Avatar user={user} />
          <span className="name">{user.name}</span>
        </span>
        <button className="button bare small" onClick={onLeave}>
          Sign out
        </button>
      </header>
      {state.status === "refused" && <Refusal reason={state.reason} onSignIn={onLeave} onRetry={connect} />}
      {gap && <GapNotice gap={gap} onReload={onReload} onDismiss={dismissGap} />}
    </>
  );
}
