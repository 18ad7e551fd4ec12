/** The progress of one assessment: which phase, and how far. */

export type Phase =
  | { readonly kind: "starting"; readonly what: string }
  | { readonly kind: "preparing"; readonly begins_at: number }
  | { readonly kind: "observing"; readonly begins_at: number; readonly ends_at: number; readonly seen: string }
  | { readonly kind: "evaluating"; readonly since: number };

const bar_width = 24;

export function progressText(phase: Phase, now: number): string {
  switch (phase.kind) {
    case "starting":
      return `starting    ${bar(0)} ${phase.what}`;
    case "preparing":
      return `preparing   ${bar(0)} begins in ${seconds(phase.begins_at - now)}`;
    case "observing": {
      const share = (now - phase.begins_at) / (phase.ends_at - phase.begins_at);
      return `observing   ${bar(share)} ${seconds(phase.ends_at - now)} left${phase.seen}`;
    }
    case "evaluating":
      return `evaluating  ${bar(1)} for ${seconds(now - phase.since)}`;
  }
}

function bar(share: number): string {
  const full = Math.round(Math.min(1, Math.max(0, share)) * bar_width);
  return `[${"█".repeat(full)}${"·".repeat(bar_width - full)}] ${String(Math.floor(Math.min(1, Math.max(0, share)) * 100)).padStart(3)} %`;
}

function seconds(ms: number): string {
  const s = Math.max(0, Math.ceil(ms / 1_000));
  if (s < 120) return `${s} s`;
  const m = Math.floor(s / 60);
  return m < 120 ? `${m} min ${s % 60} s` : `${Math.floor(m / 60)} h ${m % 60} min`;
}
