import { useId, type ReactNode } from "react";

interface Props {
  title: string;
  /** Who publishes what is in it. */
  from?: string;
  className?: string;
  children: ReactNode;
}

export function Card({ title, from, className = "", children }: Props) {
  const id = useId();
  return (
    <section className={`card ${className}`} aria-labelledby={id}>
      <div className="card-head">
        <h2 id={id}>{title}</h2>
        {from && <span className="from">{from}</span>}
      </div>
      {children}
    </section>
  );
}
