import type { Server } from './server.js';

export interface Check {
  readonly what: string;
  readonly expected: string;
  readonly seen: string;
  readonly isRight: boolean;
}

/** What a fault was expected to do, and did. */
export class Checks {
  readonly all: Check[] = [];

  constructor(private readonly fault: string) {}

  text(what: string, expected: string, seen: string): void {
    this.add({ what, expected, seen, isRight: seen === expected });
  }

  equal(what: string, expected: number, seen: number, more = ''): void {
    const isRight = seen === expected;
    this.add({ what, expected: String(expected), seen: [seen, more].join(' ').trim(), isRight });
  }

  above(what: string, bound: number, seen: number): void {
    this.add({ what, expected: `above ${bound}`, seen: String(seen), isRight: seen > bound });
  }

  /** That operators can see it. */
  async metric(server: Server, name: string): Promise<void> {
    this.above(`\`${name}\``, 0, await server.metric(name));
  }

  /** That it says so. */
  said(server: Server, line: string | RegExp): void {
    const seen = server.said(line);
    this.add({
      what: 'log line',
      expected: 'a warning',
      seen: seen === undefined ? 'none' : seen.length > 120 ? `${seen.slice(0, 117)}…` : seen,
      isRight: seen !== undefined,
    });
  }

  private add(check: Check): void {
    this.all.push(check);
    const { what, expected, seen, isRight } = check;
    console.log(`${isRight ? 'ok   ' : 'WRONG'} ${this.fault}: ${what}: expected ${expected}, seen ${seen}`);
  }
}
