import { Avatar } from "./Avatar";
import { USERS, type User } from "./users";

interface Props {
  onChoose: (user: User) => void;
  wrong: boolean;
}

export function SignIn({ onChoose, wrong }: Props) {
  return (
    <main className="sign-in">
      <img src="/icon.svg" alt="" width="48" height="48" />
      <h1>Lumière</h1>
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
      {wrong && (
        <p className="wrong" role="alert">
          The sign-in cannot be reached. Is <code>make lumiere</code> running?
        </p>
      )}
      <p className="hint">No password: this is an example. Open a second tab as the other user.</p>
    </main>
  );
}
