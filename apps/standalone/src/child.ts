import { fork, type ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';

/** How long a child may take to end before it is killed, in milliseconds. */
const STOP_TIMEOUT_MS = 30_000;
const READY_TIMEOUT_MS = 90_000;

export interface ChildPlan {
  readonly name: string;
  /** Compiled entry file. */
  readonly file: string;
  readonly args?: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** A Node process that belongs to the launcher: its IPC channel tells it when the launcher is gone. */
export class Child {
  private readonly process: ChildProcess;
  /** Settles when the process has ended, with how. */
  readonly ended: Promise<string>;
  readonly firstMessage: Promise<unknown>;
  lastMessage: unknown;

  constructor(readonly plan: ChildPlan) {
    this.process = fork(plan.file, [...(plan.args ?? [])], {
      env: plan.env,
      execArgv: [],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      // A group of its own: Ctrl-C in a terminal reaches the launcher only, which ends its children in order.
      detached: true,
    });
    const { process: child } = this;
    this.firstMessage = new Promise((resolve) => child.once('message', resolve));
    child.on('message', (message) => (this.lastMessage = message));
    this.ended = new Promise((resolve) => {
      child.once('error', (error) => resolve(error.message));
      child.once('exit', (code, signal) => {
        const ending = signal ? `signal ${signal}` : `exit code ${code}`;
        // Its last message may still be on the way.
        if (child.connected) child.once('disconnect', () => resolve(ending));
        else resolve(ending);
      });
    });
  }

  get isRunning(): boolean {
    return (
      this.process.exitCode === null && this.process.signalCode === null && this.process.pid !== undefined
    );
  }

  /** Waits until the URL answers 200. @throws Error when the child ends before, or never gets there. */
  async ready(url: string): Promise<void> {
    const deadline = Date.now() + READY_TIMEOUT_MS;
    let last = 'no answer';
    while (this.isRunning && Date.now() < deadline) {
      try {
        const response = await fetch(url, { signal: AbortSignal.timeout(2_000) });
        await response.arrayBuffer();
        if (response.ok) return;
        last = `status ${response.status}`;
      } catch (error) {
        last = error instanceof Error ? error.message : String(error); // not listening yet
      }
      await Promise.race([sleep(50), this.ended]);
    }
    if (this.isRunning) throw new Error(`The ${this.plan.name} did not become ready: ${url} gave ${last}.`);
    throw new Error(`The ${this.plan.name} ended at start (${await this.ended}); its messages are above.`);
  }

  /** Ends it and waits; kills it when it takes too long. */
  async stop(): Promise<void> {
    if (!this.isRunning) return;
    this.process.kill('SIGTERM');
    const timer = setTimeout(() => {
      process.stderr.write(
        `The ${this.plan.name} did not stop within ${STOP_TIMEOUT_MS / 1000} s and is killed.\n`,
      );
      this.process.kill('SIGKILL');
    }, STOP_TIMEOUT_MS);
    await this.ended;
    clearTimeout(timer);
  }

  kill(): void {
    this.process.kill('SIGKILL');
  }
}
