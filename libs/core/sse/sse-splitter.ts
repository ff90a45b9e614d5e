/**
 * Cuts a byte stream into server-sent events, without looking into them.
 * Lines end in LF or CRLF; a lone CR, which the standard also allows, does not end a line here, for no server that
 * speaks a generation protocol sends it. https://html.spec.whatwg.org/multipage/server-sent-events.html
 */

const LF = 10;
const CR = 13;

/** Feeds on chunks as they arrive, wherever they are cut. */
export class SseSplitter {
  /** Bytes of the event that is not complete yet. */
  private parts: Buffer[] = [];
  private held = 0;
  /** Bytes of the line that is not complete yet, and whether all of it is one CR. */
  private lineBytes = 0;
  private lineIsCr = false;

  /** Bytes held back because their event is not complete. */
  get pendingBytes(): number {
    return this.held;
  }

  /**
   * Takes a chunk.
   * @returns the events it completes, each with the blank line that ends it, byte for byte as received.
   */
  push(chunk: Buffer): Buffer[] {
    const events: Buffer[] = [];
    let start = 0;
    let lineStart = -this.lineBytes;
    let newline = chunk.indexOf(LF);
    while (newline !== -1) {
      const length = newline - lineStart;
      const blank = length === 0 || (length === 1 && this.isCr(chunk, lineStart));
      lineStart = newline + 1;
      if (blank) {
        events.push(this.join(chunk.subarray(start, lineStart)));
        start = lineStart;
      }
      newline = chunk.indexOf(LF, lineStart);
    }
    if (start < chunk.length) {
      const rest = start === 0 ? chunk : chunk.subarray(start);
      this.parts.push(rest);
      this.held += rest.length;
    }
    this.lineBytes = chunk.length - lineStart;
    this.lineIsCr = this.lineBytes === 1 && this.isCr(chunk, lineStart);
    return events;
  }

  private isCr(chunk: Buffer, lineStart: number): boolean {
    return lineStart < 0 ? this.lineIsCr : chunk[lineStart] === CR;
  }

  private join(last: Buffer): Buffer {
    if (this.parts.length === 0) return last;
    this.parts.push(last);
    const event = Buffer.concat(this.parts);
    this.parts = [];
    this.held = 0;
    return event;
  }
}

/**
 * The `data` of an event, its lines joined by LF.
 * @returns undefined for an event without data: a comment, a heartbeat.
 */
export function dataOf(event: Buffer): string | undefined {
  // The usual event is one line: `data: …`.
  if (startsWithData(event, 0)) {
    const end = event.indexOf(LF);
    const content = event[end - 1] === CR ? end - 1 : end;
    const blank = event[end + 1];
    if (end !== -1 && (blank === LF || blank === CR))
      return event.toString('utf8', event[5] === 0x20 ? 6 : 5, content);
  }
  let data: string | undefined;
  for (const line of event.toString('utf8').split(/\r?\n/)) {
    if (line !== 'data' && !line.startsWith('data:')) continue;
    const value = line.slice(line[5] === ' ' ? 6 : 5);
    data = data === undefined ? value : `${data}\n${value}`;
  }
  return data;
}

const NAME = /^event: ?(.*?)\r?$/m;

/**
 * Whether an event is named for something else than a message or an error, as the keep-alive events of some servers
 * are; a listener for messages does not get those.
 */
export function hasForeignName(event: Buffer): boolean {
  const name = NAME.exec(event.toString('utf8'))?.[1] ?? '';
  return name !== '' && name !== 'message' && name !== 'error';
}

/** Whether `data:` stands at an offset. */
function startsWithData(event: Buffer, at: number): boolean {
  return (
    event[at] === 0x64 &&
    event[at + 1] === 0x61 &&
    event[at + 2] === 0x74 &&
    event[at + 3] === 0x61 &&
    event[at + 4] === 0x3a
  );
}
