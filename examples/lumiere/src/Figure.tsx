interface Props {
  name: string;
  value: string;
  unit?: string;
  tone?: string;
}

export function Figure({ name, value, unit, tone }: Props) {
  return (
    <div className="card figure">
      <span className="quiet">{name}</span>
      <span className="value number" data-tone={tone}>
        {value} {unit && <small>{unit}</small>}
      </span>
    </div>
  );
}
