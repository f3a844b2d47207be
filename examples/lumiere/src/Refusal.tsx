import type { CloseReason } from "@courier/client";

interface Props {
  /** Courier's: of a close, or of an answer. */
  reason: string;
  onSignIn: () => void;
  onRetry: () => void;
}

const NO_SIGN_IN = "It does not accept your sign-in any more.";

const SENTENCES: Partial<Record<CloseReason, string>> = {
  "Authentication token required": NO_SIGN_IN,
  "Invalid token": NO_SIGN_IN,
  "Token expired": NO_SIGN_IN,
  "Token revoked": NO_SIGN_IN,
  "Unauthorized access to channel": "You may not see this desk.",
  "Origin not allowed": "It does not know the address at which you have opened this page.",
};

/** Courier wants nothing more of this page, which therefore waits for a person. */
export function Refusal({ reason, onSignIn, onRetry }: Props) {
  return (
    <div className="notice" data-tone="refused" role="alert">
      <p>
        <strong>Courier has refused this page.</strong> {SENTENCES[reason as CloseReason] ?? `${reason}.`}
      </p>
      <button className="button small" onClick={onSignIn}>
        Sign in again
      </button>
      <button className="button bare small" onClick={onRetry}>
        Try again
      </button>
    </div>
  );
}
