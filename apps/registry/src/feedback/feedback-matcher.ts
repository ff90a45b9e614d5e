import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { runPrepared, type Statement } from '#libs/platform/database/prepared.js';
import { Follower, type Arrivals } from '../arrivals/follower.js';
import { DECIDE_LATEST, MATCH_EVENTS, MATCH_ROWS, NOTE_CHANGES, ARRIVED_EVENTS } from './matching-sql.js';

/** An event, and what is judged under which name. */
interface Judged {
  readonly id: string;
  readonly workspaceId: string;
  readonly subject: string;
  readonly name: string;
}

/** What is judged, under one name. */
type Question = Omit<Judged, 'id'>;

/** What an event was matched with before. */
interface Rematch extends Judged {
  readonly formerSubject: string;
  readonly formerEndpoint: string | null;
  readonly formerUnit: string | null;
  readonly formerInferenceId: string | null;
  readonly formerStartedAt: Date | null;
}

/** What is matched with an event; all null where nothing is. */
interface Match {
  readonly workspaceId: string;
  readonly endpoint: string | null;
  readonly unit: string | null;
  readonly inferenceId: string | null;
  readonly startedAt: Date | null;
}

/**
 * A pass is a few thousand look-ups in large tables, and each has its index. Planned once for passes of any size, with
 * statistics that know nothing of what has just arrived, it must not come to read a table as a whole.
 */
const ONLY_BY_INDEX = [
  'enable_seqscan = off',
  'enable_hashjoin = off',
  'enable_mergejoin = off',
  'enable_sort = off',
  'jit = off',
  'plan_cache_mode = force_generic_plan',
]
  .map((setting) => `SET LOCAL ${setting}`)
  .join('; ');

/** Matches events with rows, in the order in which both become known, and decides which of them count. */
abstract class FeedbackMatcher extends Follower {
  protected async settle(tx: EntityManager, matching: Statement, arrivals: Arrivals): Promise<Rematch[]> {
    // One matcher at a time: an event and its row that arrive together are then seen by the second at the latest.
    await tx.query(`SELECT pg_advisory_xact_lock(hashtext('catena_feedback_matching'))`);
    await tx.query(ONLY_BY_INDEX);
    return runPrepared<Rematch>(tx, matching, [arrivals.from, arrivals.to]);
  }

  protected async decide(
    tx: EntityManager,
    rematched: readonly Rematch[],
    arrived: readonly Judged[],
  ): Promise<void> {
    const questions = new Map<string, Question>();
    for (const { workspaceId, subject, name } of arrived) ask(questions, workspaceId, subject, name);
    for (const { workspaceId, subject, formerSubject, name } of rematched) {
      ask(questions, workspaceId, subject, name);
      if (formerSubject !== subject) ask(questions, workspaceId, formerSubject, name);
    }
    if (questions.size === 0) return;
    const asked = [...questions.values()];
    const decided = await runPrepared<Match>(tx, DECIDE_LATEST, [
      asked.map(({ workspaceId }) => workspaceId),
      asked.map(({ subject }) => subject),
      asked.map(({ name }) => name),
      [...arrived, ...rematched].map(({ id }) => id),
    ]);
    const former = rematched.map((match) => ({
      workspaceId: match.workspaceId,
      endpoint: match.formerEndpoint,
      unit: match.formerUnit,
      inferenceId: match.formerInferenceId,
      startedAt: match.formerStartedAt,
    }));
    await note(tx, [...former, ...decided]);
  }
}

/** Is told of every event. */
@Injectable()
export class FeedbackEventFollower extends FeedbackMatcher {
  readonly name = 'feedback-events';
  readonly source = 'feedback';

  async apply(tx: EntityManager, arrivals: Arrivals): Promise<void> {
    const rematched = await this.settle(tx, MATCH_EVENTS, arrivals);
    const arrived = await runPrepared<Judged>(tx, ARRIVED_EVENTS, [arrivals.from, arrivals.to]);
    await this.decide(tx, rematched, arrived);
  }
}

/** Is told of every row: events may have been waiting for it. */
@Injectable()
export class FeedbackRowFollower extends FeedbackMatcher {
  readonly name = 'feedback-rows';
  readonly source = 'inference';

  async apply(tx: EntityManager, arrivals: Arrivals): Promise<void> {
    await this.decide(tx, await this.settle(tx, MATCH_ROWS, arrivals), []);
  }
}

function ask(questions: Map<string, Question>, workspaceId: string, subject: string, name: string): void {
  // No name holds a line break.
  questions.set(`${workspaceId}\n${name}\n${subject}`, { workspaceId, subject, name });
}

async function note(tx: EntityManager, matches: readonly Match[]): Promise<void> {
  const changed = new Map<string, Match>();
  for (const match of matches)
    if (match.inferenceId !== null) changed.set(`${match.workspaceId} ${match.inferenceId}`, match);
  if (changed.size === 0) return;
  const all = [...changed.values()];
  await runPrepared(tx, NOTE_CHANGES, [
    all.map(({ workspaceId }) => workspaceId),
    all.map(({ endpoint }) => endpoint),
    all.map(({ unit }) => unit),
    all.map(({ inferenceId }) => inferenceId),
    all.map(({ startedAt }) => startedAt),
  ]);
}
