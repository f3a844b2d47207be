import type { Gap } from "@courier/client";

interface Props {
  gap: Gap;
  onReload: () => void;
  onDismiss: () => void;
}

const REASONS: Record<Gap["reason"], string> = {
  expired: "Courier has dropped them since.",
  unknown_position: "Courier has begun a new log, and cannot say what was in the old one.",
  overrun: "This page was too slow for them.",
  hole: "Their numbers do not follow each other.",
};

/** What is shown may not be all: Courier says so, rather than nothing. */
export function GapNotice({ gap, onReload, onDismiss }: Props) {
  return (
    <div className="notice" role="alert">
      <p>
        <strong>Some events may be missing here.</strong> {REASONS[gap.reason]}
      </p>
      <button className="button small" onClick={onReload}>
        Load anew
      </button>
      <button className="button bare small" onClick={onDismiss}>
        Dismiss
      </button>
    </div>
  );
}
