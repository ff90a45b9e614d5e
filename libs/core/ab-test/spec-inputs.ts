import { sumsOf } from '../statistics/sums.js';
import type { AbTestInput, AbTestRules, ArmInput, PhaseInput } from './ab-test.js';

// Inputs for specs.

export const RULES: AbTestRules = {
  control: 'control',
  primary: { metric: 'cost_micro_usd_per_request' },
  guardrails: [{ metric: 'latency_ms_p95', margin: 0.1 }],
  minimumEffect: 0.05,
  maximumDays: 14,
};

export interface Unit {
  readonly y: number;
  readonly d: number;
  readonly x?: number;
  readonly w?: number;
}

export function arm(name: string, units: readonly Unit[], more: Partial<ArmInput> = {}): ArmInput {
  return {
    arm: name,
    chainDigest: `sha256:${name}`,
    weightBps: 5000,
    units: units.length,
    requests: units.reduce((sum, { d }) => sum + d, 0),
    sums: { cost_micro_usd_per_request: sumsOf(units) },
    ...more,
  };
}

export function phase(arms: readonly ArmInput[], more: Partial<PhaseInput> = {}): PhaseInput {
  return { splitRevision: 1, startedAt: '2026-01-01T00:00:00Z', endedAt: null, arms, ...more };
}

export function input(phases: readonly PhaseInput[], more: Partial<AbTestInput> = {}): AbTestInput {
  return { rules: RULES, phases, startedAt: '2026-01-01T00:00:00Z', now: '2026-01-03T00:00:00Z', ...more };
}

export const spread = (count: number, of: (i: number) => Unit) =>
  Array.from({ length: count }, (_, i) => of(i));
export const costs = (count: number, shift = 0) =>
  spread(count, (i) => ({ y: 100 + shift + 40 * Math.sin(i * 12.9898), d: 1 + (i % 3) }));
