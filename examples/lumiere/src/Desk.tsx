import { CourierProvider } from "@courier/client/react";
import { useState } from "react";

import { Header } from "./Header";
import { Panels } from "./Panels";
import { getToken, type Session } from "./session";
import { useHistory } from "./useHistory";

interface Props {
  session: Session;
  onLeave: () => void;
}

/** Loads what was, then follows from exactly there: no event is missed in between, and none is shown twice. */
export function Desk({ session, onLeave }: Props) {
  const channel = `user.${session.user.id}`;
  const [turn, setTurn] = useState(0);
  const loading = useHistory(session, channel, turn);

  if (loading.status !== "ready") {
    return (
      <p className="loading quiet" role="status">
        {loading.status === "loading" ? "Loading …" : "Courier cannot be reached. Trying again …"}
      </p>
    );
  }
  const { events, position } = loading.history;
  return (
    <CourierProvider
      key={position}
      url={session.courier}
      getToken={() => getToken(session.user)}
      since={() => position}
    >
      <Header channel={channel} user={session.user} onLeave={onLeave} onReload={() => setTurn(turn + 1)} />
      <Panels channel={channel} past={events} />
    </CourierProvider>
  );
}
