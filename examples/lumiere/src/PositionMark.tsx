import { useCourier } from "@courier/client/react";

import { useNow } from "./useNow";

/** Where the page is in its channel's log: with this it comes back. Looked at once a second, not at each event. */
export function PositionMark({ channel }: { channel: string }) {
  useNow(1_000);
  const { position } = useCourier(channel);
  return (
    <footer className="mark">
      <span>
        Channel <b>{channel}</b>
      </span>
      <span>
        Position <b className="number">{position ?? "–"}</b>
      </span>
    </footer>
  );
}
