/** How sensitive data is, least first. */
export const DATA_CLASSES = ['public', 'internal', 'restricted'] as const;
export type DataClass = (typeof DATA_CLASSES)[number];

/** What is carried, and what may be seen, where nobody has said so. Why the middle: docs/adr/0019-data-classes.md. */
export const DEFAULT_DATA_CLASS: DataClass = 'internal';

const RANK: Readonly<Record<string, number>> = { public: 0, internal: 1, restricted: 2 };

export function isDataClass(value: unknown): value is DataClass {
  return typeof value === 'string' && Object.hasOwn(RANK, value);
}

/** Whether who is cleared up to `clearance` may see data of `dataClass`. Anything that is no class: no. */
export function isCleared(clearance: DataClass, dataClass: DataClass): boolean {
  return RANK[clearance]! >= RANK[dataClass]!;
}

/** The more sensitive of the two. */
export function higherClass(one: DataClass, other: DataClass): DataClass {
  return RANK[one]! >= RANK[other]! ? one : other;
}
