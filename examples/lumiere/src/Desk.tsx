import { CourierProvider } from "@courier/client/react";
import { useState } from "react";

import { Header } from "./Header";
import { Lobby } from "./Lobby";
import { Panels } from "./Panels";
import { Refusal } from "./Refusal";
import { getPass } from "./session";
import { useHistory } from "./useHistory";
import type { User } from "./users";

interface Props {
  user: User;
  onLeave: () => void;
}

/** Loads what was, then follows from exactly there: no event is missed in between, and none is shown twice. */
export function Desk({ user, onLeave }: Props) {
  const channel = `user.${user.id}`;
  const [turn, setTurn] = useState(0);
  const loading = useHistory(user, channel, turn);
  const reload = () => setTurn(turn + 1);

  switch (loading.status) {
    case "loading":
      return (
        <p className="visually-hidden" role="status">
          Loading …
        </p>
      );
    case "waiting":
      return (
        <Lobby>
          <p className="quiet" role="status">
            Courier cannot be reached. Trying again … Is <code>make lumiere</code> running?
          </p>
          <button className="button" onClick={onLeave}>
            Sign out
          </button>
        </Lobby>
      );
    case "refused":
      return (
        <Lobby>
          <Refusal reason={loading.reason} onSignIn={onLeave} onRetry={reload} />
        </Lobby>
      );
    case "ready": {
      const { courier, events, position } = loading.history;
      return (
        <CourierProvider
          url={courier}
          getToken={async () => (await getPass(user)).token}
          since={(name) => (name === channel ? position : undefined)}
          shareAcrossTabs={user.id}
        >
          <Header channel={channel} user={user} onLeave={onLeave} onReload={reload} />
          <Panels channel={channel} past={events} />
        </CourierProvider>
      );
    }
  }
}
