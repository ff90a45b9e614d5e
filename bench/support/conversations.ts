import { Agent, request } from 'undici';
import { randomFrom } from '../../apps/model-simulator/src/random.js';

export interface Message {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string;
}

/** Conversations that begin one after the other, at random, and go on for some turns each. The same seed plays the same ones. */
export interface Script {
  readonly seed: string;
  readonly conversations: number;
  readonly turns: number;
  /** Mean time between two beginnings. */
  readonly everyMs: number;
  /** Longest pause between an answer and the next question. */
  readonly thinkMs: number;
}

/** Share of conversations, and the least and most words of their first question: most are short, some bring a document. */
const LENGTHS: readonly (readonly [share: number, least: number, most: number])[] = [
  [0.7, 50, 600],
  [0.25, 1500, 5000],
  [0.05, 9000, 18_000],
];
const WORDS = ['order', 'late', 'refund', 'account', 'change', 'please', 'number', 'never', 'asked', 'price'];

/** Plays them against a chat completions route. @returns milliseconds to the first content of every answer. */
export async function play(url: string, model: string, script: Script): Promise<number[]> {
  const agent = new Agent({ connections: null, pipelining: 1 });
  const random = randomFrom(script.seed);
  const starts: Promise<number[]>[] = [];
  let startMs = 0;
  for (let n = 0; n < script.conversations; n++) {
    // Exponential: arrivals that know nothing of each other.
    startMs += -Math.log(1 - random()) * script.everyMs;
    starts.push(converse(agent, url, model, script, n, startMs));
  }
  try {
    return (await Promise.all(starts)).flat();
  } finally {
    await agent.close();
  }
}

async function converse(
  agent: Agent,
  url: string,
  model: string,
  script: Script,
  number: number,
  startMs: number,
): Promise<number[]> {
  const random = randomFrom(script.seed, String(number));
  const messages: Message[] = [
    { role: 'system', content: 'You answer questions of customers, briefly and kindly.' },
    { role: 'user', content: `Case ${number}: ${words(random, firstLength(random))}` },
  ];
  const times: number[] = [];
  await sleep(startMs);
  for (let turn = 0; turn < script.turns; turn++) {
    const { firstMs, text } = await ask(agent, url, { model, messages, stream: true });
    times.push(firstMs);
    messages.push({ role: 'assistant', content: text }, { role: 'user', content: words(random, 30) });
    await sleep(random() * script.thinkMs);
  }
  return times;
}

async function ask(agent: Agent, url: string, body: object): Promise<{ firstMs: number; text: string }> {
  const started = performance.now();
  let firstMs: number | undefined;
  let received = '';
  const answer = await request(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    dispatcher: agent,
  });
  for await (const chunk of answer.body as AsyncIterable<Buffer>) {
    received += chunk.toString('utf8');
    if (firstMs === undefined && /"content":"[^"]/.test(received)) firstMs = performance.now() - started;
  }
  if (answer.statusCode !== 200 || firstMs === undefined)
    throw new Error(`${url} answered ${answer.statusCode}: ${received.slice(0, 500)}`);
  return { firstMs, text: contentOf(received) };
}

function contentOf(stream: string): string {
  let text = '';
  for (const line of stream.split('\n'))
    if (line.startsWith('data: {')) {
      const chunk = JSON.parse(line.slice(6)) as { choices: { delta: { content?: string } }[] };
      text += chunk.choices[0]?.delta.content ?? '';
    }
  return text;
}

function firstLength(random: () => number): number {
  let left = random();
  for (const [share, least, most] of LENGTHS) {
    if (left < share) return least + Math.floor(random() * (most - least));
    left -= share;
  }
  return LENGTHS[0]![1];
}

function words(random: () => number, count: number): string {
  return Array.from({ length: count }, () => WORDS[Math.floor(random() * WORDS.length)]!).join(' ');
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
