import { diffWordsWithSpace, formatPatch, OMIT_HEADERS, structuredPatch } from 'diff';
import diffValues, { type Difference } from 'microdiff';
import type { Json } from '#libs/core/canonical/canonical.js';
import type { ChangeDto } from './diff.dto.js';

/** Texts longer than this, or of several lines, are also compared inside. */
const ONE_LINE = 80;

/**
 * What differs between two canonical JSON texts, as changes with JSON Pointers.
 * @param budgetMs most time for comparing inside texts, all together. Beyond it, texts that differ almost
 * everywhere are only shown as before and after.
 */
export function diffContents(from: string, to: string, budgetMs = 500): ChangeDto[] {
  const deadline = performance.now() + budgetMs;
  return diffValues(parse(from), parse(to), { cyclesFix: false }).map((difference) =>
    toChange(difference, deadline),
  );
}

/** Objects without prototype: microdiff asks `key in object`, which would find `constructor` in every other one. */
function parse(text: string): Record<string, Json> {
  return JSON.parse(text, (_, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.assign(Object.create(null) as object, value)
      : value,
  ) as Record<string, Json>;
}

function toChange(difference: Difference, deadline: number): ChangeDto {
  const path = pointer(difference.path);
  if (difference.type === 'CREATE') return { path, kind: 'added', after: difference.value as unknown };
  if (difference.type === 'REMOVE') return { path, kind: 'removed', before: difference.oldValue as unknown };
  const { oldValue: before, value: after } = difference as { oldValue: unknown; value: unknown };
  return { path, kind: 'changed', before, after, ...textDiff(before, after, deadline) };
}

function textDiff(before: unknown, after: unknown, deadline: number): Pick<ChangeDto, 'unified' | 'words'> {
  if (typeof before !== 'string' || typeof after !== 'string') return {};
  const timeout = deadline - performance.now();
  if (timeout <= 0) return {};
  if (before.includes('\n') || after.includes('\n')) {
    const patch = structuredPatch('from', 'to', before, after, '', '', { context: 3, timeout });
    return patch ? { unified: formatPatch(patch, OMIT_HEADERS) } : {};
  }
  if (before.length <= ONE_LINE && after.length <= ONE_LINE) return {};
  const parts = diffWordsWithSpace(before, after, { timeout });
  return parts
    ? {
        words: parts.map((part) => ({
          kind: part.added ? 'added' : part.removed ? 'removed' : 'same',
          text: part.value,
        })),
      }
    : {};
}

/** RFC 6901, section 3. */
function pointer(path: readonly (string | number)[]): string {
  return path.map((key) => `/${String(key).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}
