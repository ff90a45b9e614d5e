import addFormats, { type FormatName } from 'ajv-formats';
import { fullFormats } from 'ajv-formats/dist/formats.js';
import type { Ajv2020 } from 'ajv/dist/2020.js';
import { spend } from './work.js';

/**
 * Formats of JSON Schema that are checked, with the longest text that can have them. Their patterns backtrack, over
 * a short text by little. Others are taken for a remark, as the standard has it.
 */
const LONGEST: Readonly<Partial<Record<FormatName, number>>> = {
  date: 64,
  time: 64,
  'date-time': 64,
  duration: 64,
  email: 320,
  hostname: 254,
  ipv4: 15,
  ipv6: 64,
  uri: 4096,
  'uri-reference': 4096,
  'uri-template': 4096,
  'json-pointer': 4096,
  'relative-json-pointer': 4096,
  uuid: 64,
  regex: 1024,
};

export function addBoundedFormats(ajv: Ajv2020): void {
  const names = Object.keys(LONGEST) as FormatName[];
  addFormats.default(ajv, { mode: 'full', formats: names });
  for (const name of names) {
    const longest = LONGEST[name]!;
    const test = testOf(fullFormats[name]);
    ajv.addFormat(name, (text: string) => {
      if (text.length > longest) return false;
      spend(text.length);
      return test(text);
    });
  }
}

function testOf(format: unknown): (text: string) => boolean {
  if (typeof format === 'function') return format as (text: string) => boolean;
  if (format instanceof RegExp) return (text) => format.test(text);
  return testOf((format as { validate: unknown }).validate);
}
