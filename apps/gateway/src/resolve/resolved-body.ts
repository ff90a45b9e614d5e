import type { ServedArm, ServedEndpoint } from '../snapshot/snapshot.js';
import type { Assigned } from './assign.js';

/** JSON text and its length in UTF-8 bytes. */
export interface ResolvedBody {
  readonly text: string;
  readonly bytes: number;
}

/**
 * Everything of an answer that does not depend on the unit, encoded once per arm. Held weakly: endpoints that did
 * not change are the same objects in the next snapshot and keep theirs.
 */
interface Encoded {
  /** Up to the bucket. */
  readonly head: string;
  /** From after the assignment and the stickiness to the end. */
  readonly tail: ResolvedBody;
  tailWithConfig: ResolvedBody | undefined;
}

const encodedArms = new WeakMap<ServedArm, Encoded>();

/** The answer of resolve. Content and prompt are spliced in as registered, byte for byte what the digests are over. */
export function resolvedBody(
  endpoint: ServedEndpoint,
  assigned: Assigned,
  includeConfig: boolean,
): ResolvedBody {
  let encoded = encodedArms.get(assigned.arm);
  if (encoded === undefined) encodedArms.set(assigned.arm, (encoded = encode(endpoint, assigned.arm)));
  const tail = includeConfig ? (encoded.tailWithConfig ??= withConfig(encoded, assigned.arm)) : encoded.tail;
  // Names are ASCII by schema and the rest is digits and keywords: length in characters is length in bytes.
  const front = `${encoded.head}${assigned.bucket},"assignment":"${assigned.assignment}","sticky":${assigned.sticky}`;
  return { text: front + tail.text, bytes: front.length + tail.bytes };
}

function encode(endpoint: ServedEndpoint, arm: ServedArm): Encoded {
  const { name, version, digest } = arm.chain;
  const head = `{"endpoint":${ascii(endpoint.name)},"splitRevision":${endpoint.splitRevision},"arm":${ascii(arm.name)},"bucket":`;
  return {
    head,
    tail: measured(`,"chain":${JSON.stringify({ name, version, digest })}}`),
    tailWithConfig: undefined,
  };
}

function withConfig({ tail }: Encoded, { chain }: ServedArm): ResolvedBody {
  const opened = tail.text.slice(0, -1);
  const prompt = chain.promptText === undefined ? '' : `,"prompt":${chain.promptText}`;
  return measured(`${opened},"config":{"chain":${chain.contentText}${prompt}}}`);
}

function measured(text: string): ResolvedBody {
  return { text, bytes: Buffer.byteLength(text) };
}

/** JSON string with everything beyond ASCII escaped. */
function ascii(text: string): string {
  return JSON.stringify(text).replaceAll(
    /[^\x20-\x7e]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
