import type { User } from "./users";

export function Avatar({ user }: { user: User }) {
  return (
    <span className="avatar" data-user={user.id} aria-hidden="true">
      {user.name[0]}
    </span>
  );
}
