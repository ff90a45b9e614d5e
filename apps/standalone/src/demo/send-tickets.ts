import { NAMES } from './setup.js';
import type { Ticket } from './tickets.js';

const CONCURRENCY = 10;

/** Whether one answer led to the right action. */
export interface Judgement {
  readonly inferenceId: string;
  readonly arm: string;
  readonly isRight: boolean;
}

/** Right answers by chain version, as the gateway names it: `support-triage@2`. */
export interface Outcome {
  readonly sent: number;
  readonly failed: number;
  readonly rightActions: ReadonlyMap<string, number>;
  readonly judgements: readonly Judgement[];
}

/**
 * Sends every ticket through the gateway, as an application would: OpenAI's protocol, the serving endpoint as the
 * model, the customer as the unit.
 * @param onProgress called after each answer.
 */
export async function sendTickets(
  gateway: string,
  tickets: readonly Ticket[],
  onProgress: (done: number) => void,
): Promise<Outcome> {
  const rightActions = new Map<string, number>();
  const judgements: Judgement[] = [];
  let failed = 0;
  let done = 0;
  const queue = tickets.values();
  const work = async () => {
    for (const ticket of queue) {
      const answer = await send(gateway, ticket);
      if (answer === undefined) failed++;
      else {
        const isRight = actionOf(answer.content) === ticket.expected.action;
        rightActions.set(answer.version, (rightActions.get(answer.version) ?? 0) + Number(isRight));
        judgements.push({ inferenceId: answer.inferenceId, arm: answer.arm, isRight });
      }
      onProgress(++done);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, work));
  return { sent: tickets.length, failed, rightActions, judgements };
}

async function send(
  gateway: string,
  ticket: Ticket,
): Promise<{ version: string; arm: string; inferenceId: string; content: string } | undefined> {
  const response = await fetch(`${gateway}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-catena-unit': ticket.customer },
    body: JSON.stringify({
      model: NAMES.endpoint,
      messages: [{ role: 'user', content: ticket.text }],
      metadata: { variables: { company: 'Lindenpay' } },
    }),
  });
  const body = (await response.json()) as {
    choices?: { message: { content: string } }[];
    error?: { message: string };
  };
  if (!response.ok) {
    process.stderr.write(`\nA ticket was refused: ${response.status} ${body.error?.message ?? ''}\n`);
    return undefined;
  }
  return {
    version: response.headers.get('x-catena-chain-version') ?? '',
    arm: response.headers.get('x-catena-arm') ?? '',
    inferenceId: response.headers.get('x-catena-inference-id') ?? '',
    content: body.choices?.[0]?.message.content ?? '',
  };
}

function actionOf(content: string): unknown {
  try {
    return (JSON.parse(content) as { action?: unknown } | null)?.action;
  } catch {
    return undefined; // not JSON: the schema-valid column tells
  }
}
