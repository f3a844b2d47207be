import { Avatar } from "./Avatar";
import { Lobby } from "./Lobby";
import { USERS, type User } from "./users";

export function SignIn({ onChoose }: { onChoose: (user: User) => void }) {
  return (
    <Lobby>
      <p className="quiet">A trading desk that is alive, on Courier. Who are you?</p>
      <div className="card choices">
        {USERS.map((user) => (
          <button key={user.id} className="choice" onClick={() => onChoose(user)}>
            <Avatar user={user} />
            <span>
              <strong>{user.name}</strong>
              <span className="quiet">user.{user.id}</span>
            </span>
            <span className="go" aria-hidden="true">
              →
            </span>
          </button>
        ))}
      </div>
      <p className="hint">No password: this is an example. Open a second tab as the other user.</p>
    </Lobby>
  );
}
